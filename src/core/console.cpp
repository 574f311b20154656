// SPDX-License-Identifier: Apache-2.0
#include "core/console.hpp"

#include "core/text.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace uidnfs::core {
namespace {

/// 0, or the errno that ended it.
int write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const auto size = ::write(fd, text.data(), text.size());
        if (size > 0) {
            text.remove_prefix(static_cast<std::size_t>(size));
        } else if (size == 0) {
            return EIO;
        } else if (errno == EAGAIN) {
            // A pipe that whoever started the program has made non-blocking.
            pollfd room{fd, POLLOUT, 0};
            ::poll(&room, 1, -1);
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

}  // namespace

Terminal::Terminal() {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (::fcntl(fd, F_GETFD) >= 0) continue;
        // The lowest number that is free.
        static_cast<void>(::open("/dev/null", fd == STDIN_FILENO ? O_RDONLY : O_WRONLY));
    }
}

void Terminal::print(std::string_view text) {
    if (const int failed = write_all(STDOUT_FILENO, text); lost_ == 0) lost_ = failed;
}

void Terminal::complain(std::string_view text) {
    write_all(STDERR_FILENO, std::string(text) + '\n');
}

int Terminal::end(std::string_view program, int status) {
    // Who hung up wants no more of it.
    if (lost_ == 0 || lost_ == EPIPE) return status;
    complain(
        std::string(program) + ": cannot write all of it to standard output: " +
        describe_errno(lost_) + "; make room, or write it elsewhere"
    );
    return status == 0 ? 1 : status;
}

}  // namespace uidnfs::core
