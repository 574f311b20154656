// SPDX-License-Identifier: Apache-2.0
// Secret: the one type that holds a password. It lives on the heap, so that moving it leaves no
// copy behind; it is wiped when it dies or is moved from; it has no formatter, no operator<< and
// no implicit conversion. Owned by whoever needs it next; not shared between threads.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace uidnfs::core {

class Secret {
public:
    Secret() = default;
    /// Copies `text`; wiping what it was copied from is the caller's, or see take().
    explicit Secret(std::string_view text);
    /// Copies `text` and wipes all of the string's storage; it is empty afterwards.
    static Secret take(std::string& text);

    Secret(Secret&& other) noexcept;
    Secret& operator=(Secret&& other) noexcept;
    Secret(const Secret&) = delete;
    Secret& operator=(const Secret&) = delete;
    ~Secret();

    /// A second one with the same content: copies are made on purpose or not at all.
    Secret clone() const { return Secret(reveal()); }

    bool empty() const noexcept { return size_ == 0; }
    std::size_t size() const noexcept { return size_; }
    /// The content, zero-terminated in memory; valid until the Secret dies or is assigned to.
    std::string_view reveal() const noexcept { return {bytes_ ? bytes_.get() : "", size_}; }
    /// Compares in a time that depends on the sizes only.
    bool same_as(const Secret& other) const noexcept;

    template <class Stream>
    friend Stream& operator<<(Stream&, const Secret&) = delete;

private:
    void wipe() noexcept;

    std::unique_ptr<char[]> bytes_;
    std::size_t size_ = 0;
};

}  // namespace uidnfs::core
