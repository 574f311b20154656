// SPDX-License-Identifier: Apache-2.0
// StoreTrace: stops after every store into memory, as a process that is killed there would. The
// pages are made read-only, each store faults, is carried out as a single step, and the pages are
// closed again: what is seen are the machine's own stores in the machine's order, not those that
// somebody thought of. One at a time; x86-64.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

namespace uidnfs::test {

class StoreTrace {
public:
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    static constexpr bool kSupported = true;
#else
    static constexpr bool kSupported = false;
#endif

    /// `ranges`: whole pages. `after_each` must not store into them.
    StoreTrace(std::vector<std::span<std::byte>> ranges, std::function<void()> after_each);
    StoreTrace(const StoreTrace&) = delete;
    StoreTrace& operator=(const StoreTrace&) = delete;
    ~StoreTrace();

private:
    struct Handlers;

    void protect(int how) const;
    bool covers(const void* address) const;

    std::vector<std::span<std::byte>> ranges_;
    std::function<void()> after_each_;
};

}  // namespace uidnfs::test
