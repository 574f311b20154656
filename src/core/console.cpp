// SPDX-License-Identifier: Apache-2.0
#include "core/console.hpp"

#include <unistd.h>

#include <string>

namespace uidnfs::core {
namespace {

void write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const auto size = ::write(fd, text.data(), text.size());
        if (size <= 0) return;
        text.remove_prefix(static_cast<std::size_t>(size));
    }
}

}  // namespace

void Terminal::print(std::string_view text) { write_all(STDOUT_FILENO, text); }

void Terminal::complain(std::string_view text) {
    write_all(STDERR_FILENO, std::string(text) + '\n');
}

}  // namespace uidnfs::core
