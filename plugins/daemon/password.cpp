// SPDX-License-Identifier: Apache-2.0
#include "plugins/daemon/password.hpp"

#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace uidnfs::plugins {
namespace {

constexpr std::size_t kMaxPassword = 4096;

/// No echo while it lives; the rest of the terminal stays as it was.
class Quiet {
public:
    explicit Quiet(int fd) : fd_(fd), is_terminal_(::tcgetattr(fd, &before_) == 0) {
        if (!is_terminal_) return;
        auto quiet = before_;
        quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
        ::tcsetattr(fd_, TCSAFLUSH, &quiet);
    }
    Quiet(const Quiet&) = delete;
    Quiet& operator=(const Quiet&) = delete;
    ~Quiet() {
        if (is_terminal_) ::tcsetattr(fd_, TCSAFLUSH, &before_);
    }
    bool is_terminal() const noexcept { return is_terminal_; }

private:
    int fd_;
    termios before_{};
    bool is_terminal_;
};

}  // namespace

core::Outcome<core::Secret> read_password(int fd, core::Console& console, std::string_view prompt) {
    const Quiet quiet(fd);
    if (quiet.is_terminal()) console.print(prompt);
    std::string text(kMaxPassword + 1, '\0');
    std::size_t size = 0;
    while (size < text.size()) {
        // One byte at a time: what follows the line is somebody else's.
        const auto got = ::read(fd, &text[size], 1);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0 || text[size] == '\n') break;
        ++size;
    }
    if (quiet.is_terminal()) console.print("\n");
    const auto whole = core::Secret::take(text);
    auto password = whole.reveal().substr(0, size);
    if (password.ends_with('\r')) password.remove_suffix(1);
    if (size > kMaxPassword) return core::Failure{EFBIG, "the password is longer than 4096 bytes"};
    if (password.empty()) {
        return core::Failure{
            EINVAL, "there is no password on standard input; write it there, as one line"};
    }
    return core::Secret(password);
}

}  // namespace uidnfs::plugins
