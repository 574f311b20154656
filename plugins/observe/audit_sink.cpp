// SPDX-License-Identifier: Apache-2.0
#include "plugins/observe/audit_sink.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace uidnfs::plugins {
namespace {

constexpr int kPatienceMs = 50;           // for a journal whose queue is full
constexpr int kSendBuffer = 1024 * 1024;  // one line is one datagram

ssize_t write_once(int fd, std::string_view bytes) {
    while (true) {
        const auto written = ::write(fd, bytes.data(), bytes.size());
        if (written >= 0 || errno != EINTR) return written;
    }
}

core::Outcome<core::Fd> open_file(const std::string& path) {
    // Without O_NONBLOCK a pipe by that name would stop the service; a link may lead anywhere.
    constexpr int kFlags =
        O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    core::Fd fd(::open(path.c_str(), kFlags, 0640));
    const int code = fd ? 0 : errno;
    struct stat st {};
    const bool is_file = fd && ::fstat(fd.get(), &st) == 0 && S_ISREG(st.st_mode);
    if (is_file) return fd;
    return core::Failure{
        code != 0 ? code : EINVAL,
        fmt::format(
            "cannot open the audit file {}: {}; choose a file in a directory that the service can "
            "write",
            path,
            code == 0       ? "it is no regular file"
            : code == ELOOP ? "it is a link"
                            : strerrordesc_np(code)
        )};
}

class FileSink final : public AuditSink {
public:
    FileSink(std::string path, core::Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

    core::Result<void> write(std::string_view line) override {
        // Written into a file without a name it would be nowhere.
        if (is_removed()) {
            if (const auto anew = reopen(); !anew) return core::Error(anew.error().code);
        }
        const auto bytes = fmt::format("{}{}\n", state_ == State::torn ? "\n" : "", line);
        const auto written = write_once(fd_.get(), bytes);
        if (written == static_cast<ssize_t>(bytes.size())) {
            state_ = State::whole;
            return {};
        }
        if (written < 0) return core::Error(errno);
        if (written > 0 && !take_back(written)) state_ = State::torn;
        return core::Error(ENOSPC);
    }

    core::Outcome<void> reopen() override {
        auto fd = open_file(path_);
        if (!fd) return std::move(fd).error();
        fd_ = std::move(*fd);
        state_ = State::whole;
        return {};
    }

    std::string name() const override { return path_; }

private:
    bool is_removed() const {
        struct stat st {};
        return ::fstat(fd_.get(), &st) == 0 && st.st_nlink == 0;
    }

    /// Half a line would be no JSON to whoever reads the file.
    bool take_back(ssize_t bytes) {
        struct stat st {};
        return ::fstat(fd_.get(), &st) == 0 && st.st_size >= bytes &&
               ::ftruncate(fd_.get(), st.st_size - bytes) == 0;
    }

    std::string path_;
    core::Fd fd_;
    enum class State { whole, torn } state_ = State::whole;
};

class JournalSink final : public AuditSink {
public:
    JournalSink(std::string socket, int otherwise)
        : path_(std::move(socket)), otherwise_(otherwise) {}

    core::Result<void> write(std::string_view line) override {
        // Twice: the journal may have been started anew since the last line.
        for (int i = 0; i < 2; ++i) {
            if (!fd_) {
                const int code = connect();
                if (code == ENOENT) return write_otherwise(line);
                if (code != 0) return core::Error(code);
            }
            const int code = send(line);
            if (code == 0) return {};
            if (code != ECONNREFUSED && code != ENOTCONN && code != ECONNRESET) {
                return core::Error(code);
            }
            fd_ = {};
        }
        return core::Error(ECONNREFUSED);
    }

    core::Outcome<void> reopen() override {
        fd_ = {};
        return {};
    }

    std::string name() const override { return "the journal"; }

private:
    int connect() {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        if (path_.size() >= sizeof address.sun_path) return ENAMETOOLONG;
        std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
        core::Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (!fd) return errno;
        ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
        if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
            return errno;
        }
        fd_ = std::move(fd);
        return 0;
    }

    int send(std::string_view line) {
        const auto datagram =
            fmt::format("MESSAGE={}\nPRIORITY=5\nSYSLOG_IDENTIFIER={}\n", line, kAuditIdentifier);
        for (int i = 0; i < 2; ++i) {
            if (::send(fd_.get(), datagram.data(), datagram.size(), MSG_NOSIGNAL) >= 0) return 0;
            if (errno == EINTR) continue;
            if (errno != EAGAIN) return errno;
            pollfd waiting{fd_.get(), POLLOUT, 0};
            if (::poll(&waiting, 1, kPatienceMs) <= 0) return EAGAIN;
        }
        return EAGAIN;
    }

    core::Result<void> write_otherwise(std::string_view line) {
        const auto bytes = fmt::format("{}\n", line);
        const auto written = write_once(otherwise_, bytes);
        if (written == static_cast<ssize_t>(bytes.size())) return {};
        return core::Error(written < 0 ? errno : ENOSPC);
    }

    std::string path_;
    int otherwise_;
    core::Fd fd_;
};

}  // namespace

core::Outcome<std::unique_ptr<AuditSink>> open_audit_file(const std::string& path) {
    auto fd = open_file(path);
    if (!fd) return std::move(fd).error();
    return std::unique_ptr<AuditSink>(std::make_unique<FileSink>(path, std::move(*fd)));
}

std::unique_ptr<AuditSink> make_journal_sink(std::string socket, int otherwise) {
    return std::make_unique<JournalSink>(std::move(socket), otherwise);
}

core::Outcome<std::unique_ptr<AuditSink>> open_audit_sink(const std::string& destination) {
    if (destination != "journal") return open_audit_file(destination);
    return make_journal_sink();
}

}  // namespace uidnfs::plugins
