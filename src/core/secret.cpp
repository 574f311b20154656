// SPDX-License-Identifier: Apache-2.0
#include "core/secret.hpp"

#include <string.h>

#include <utility>

namespace uidnfs::core {

Secret::Secret(std::string_view text) : size_(text.size()) {
    if (text.empty()) return;
    bytes_ = std::make_unique<char[]>(size_ + 1);
    text.copy(bytes_.get(), size_);
}

Secret Secret::take(std::string& text) {
    Secret secret(text);
    text.resize(text.capacity());  // what shrank before may still stand behind the end
    explicit_bzero(text.data(), text.size());
    text.clear();
    return secret;
}

Secret::Secret(Secret&& other) noexcept
    : bytes_(std::move(other.bytes_)), size_(std::exchange(other.size_, 0)) {}

Secret& Secret::operator=(Secret&& other) noexcept {
    if (this != &other) {
        wipe();
        bytes_ = std::move(other.bytes_);
        size_ = std::exchange(other.size_, 0);
    }
    return *this;
}

Secret::~Secret() { wipe(); }

void Secret::wipe() noexcept {
    if (bytes_) explicit_bzero(bytes_.get(), size_);
    bytes_.reset();
    size_ = 0;
}

bool Secret::same_as(const Secret& other) const noexcept {
    if (size_ != other.size_) return false;
    unsigned char difference = 0;
    for (std::size_t i = 0; i < size_; ++i) {
        difference |= static_cast<unsigned char>(bytes_[i] ^ other.bytes_[i]);
    }
    return difference == 0;
}

}  // namespace uidnfs::core
