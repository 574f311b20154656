// SPDX-License-Identifier: Apache-2.0
#include "plugins/core/volume_key.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

namespace uidnfs::plugins {
namespace {

constexpr std::size_t kMaxComponent = 200;  // leaves room below NAME_MAX for ".json.tmp"
constexpr std::size_t kKept = 128;          // of a long name, before its hash

bool is_plain(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '-' || c == '=' || c == '.';
}

std::string sha256(std::string_view bytes) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int size = 0;
    EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr);
    std::string out;
    for (unsigned int i = 0; i < size; ++i) out += fmt::format("{:02x}", digest[i]);
    return out;
}

}  // namespace

std::string_view to_string(Dialect dialect) noexcept {
    switch (dialect) {
        case Dialect::docker: return "docker";
        case Dialect::cloudfoundry: return "cloudfoundry";
    }
    return "unknown";
}

std::optional<Dialect> parse_dialect(std::string_view word) noexcept {
    for (const auto dialect : {Dialect::docker, Dialect::cloudfoundry}) {
        if (to_string(dialect) == word) return dialect;
    }
    return std::nullopt;
}

bool is_volume_name(std::string_view name) noexcept {
    if (name.empty() || name.size() > kMaxVolumeName) return false;
    if (name == "." || name.find("..") != std::string_view::npos) return false;
    while (!name.empty()) {
        const auto size = utf8_sequence(name);
        if (size == 0) return false;
        const auto c = static_cast<unsigned char>(name.front());
        if (c < 0x20 || c == 0x7f || c == '/' || c == '\\') return false;
        name.remove_prefix(size);
    }
    return true;
}

std::string directory_name(const VolumeKey& key) {
    std::string out(to_string(key.dialect));
    out += '-';
    for (const char c : key.name) {
        if (is_plain(c)) {
            out += c;
        } else {
            out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        }
    }
    if (out.size() <= kMaxComponent) return out;
    // '~' occurs in no short name, so a short one cannot imitate a long one.
    return out.substr(0, kKept) + '~' + sha256(key.name);
}

std::string mount_path(std::string_view root, std::string_view directory) {
    return fmt::format("{}/{}", root, directory);
}

}  // namespace uidnfs::plugins
