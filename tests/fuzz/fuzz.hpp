// SPDX-License-Identifier: Apache-2.0
// What a fuzz target is made of: it takes any bytes, and what must hold is required. Run by
// libFuzzer (preset asan-ubsan, scripts/fuzz) and by replay.cpp, which gives it the seeds and every
// case that was ever found (label unit).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace uidnfs::fuzz {

/// Ends the process, so that the fuzzer keeps the input, when `holds` does not.
inline void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "does not hold: %s\n", what);
    std::abort();
}

inline std::string_view as_text(const std::uint8_t* data, std::size_t size) {
    return {reinterpret_cast<const char*>(data), size};
}

/// Messages go to terminals, logs and JSON.
inline bool is_one_printable_line(std::string_view text) {
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f) return false;
    }
    return true;
}

}  // namespace uidnfs::fuzz
