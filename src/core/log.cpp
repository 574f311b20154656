// SPDX-License-Identifier: Apache-2.0
#include "core/log.hpp"

#include "core/fd.hpp"

#include <fcntl.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>
#include <stdio_ext.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>

namespace uidnfs::core::log {
namespace {

constexpr std::array<std::pair<std::string_view, Level>, 6> kNames{{
    {"trace", Level::trace},
    {"debug", Level::debug},
    {"info", Level::info},
    {"warning", Level::warning},
    {"error", Level::error},
    {"off", Level::off},
}};

spdlog::level::level_enum to_spdlog(Level level) noexcept {
    switch (level) {
        case Level::trace: return spdlog::level::trace;
        case Level::debug: return spdlog::level::debug;
        case Level::info: return spdlog::level::info;
        case Level::warning: return spdlog::level::warn;
        case Level::error: return spdlog::level::err;
        case Level::off: return spdlog::level::off;
    }
    return spdlog::level::off;
}

/// Priorities of sd-daemon(3) as a text prefix.
std::string_view journal_priority(Level level) noexcept {
    switch (level) {
        case Level::trace:
        case Level::debug: return "<7>";
        case Level::info: return "<6>";
        case Level::warning: return "<4>";
        case Level::error:
        case Level::off: return "<3>";
    }
    return "<3>";
}

enum class Timestamps { ours, journal };

struct State {
    std::mutex mutex;  // guards logger, prefix and timestamps; the level is read without it
    std::shared_ptr<spdlog::logger> logger;
    std::string prefix;
    Timestamps timestamps = Timestamps::ours;
    std::atomic<Level> level{Level::info};
};

State& state() {
    static auto* instance = new State;  // outlives every static that may still log at exit
    return *instance;
}

std::shared_ptr<spdlog::logger> make_logger(spdlog::sink_ptr sink, const char* pattern) {
    auto logger = std::make_shared<spdlog::logger>("uidnfs", std::move(sink));
    logger->set_level(spdlog::level::trace);
    logger->flush_on(spdlog::level::info);
    logger->set_pattern(pattern);
    return logger;
}

/// Lines that do not fit on the disk are lost, and nothing else is.
class FileSink final : public spdlog::sinks::base_sink<std::mutex> {
public:
    explicit FileSink(Fd fd) : file_(::fdopen(fd.get(), "a"), &std::fclose) {
        if (file_) static_cast<void>(fd.release());
    }

protected:
    void sink_it_(const spdlog::details::log_msg& message) override {
        spdlog::memory_buf_t line;
        formatter_->format(message, line);
        if (file_) std::fwrite(line.data(), 1, line.size(), file_.get());
    }
    void flush_() override {
        if (file_ && std::fflush(file_.get()) != 0) __fpurge(file_.get());
    }

private:
    std::unique_ptr<std::FILE, decltype(&std::fclose)> file_;
};

constexpr const char* kFullPattern = "%Y-%m-%dT%H:%M:%S.%e%z %l %v";

}  // namespace

std::string printable(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f) {
            out += fmt::format("\\x{:02x}", byte);
        } else {
            out += c;
        }
    }
    return out;
}

/// True when standard error is the stream that systemd reads, and not only inherited its name
/// (systemd.exec(5), JOURNAL_STREAM: "device:inode").
bool is_journal_stream() {
    const char* stream = std::getenv("JOURNAL_STREAM");
    struct stat st {};
    return stream && ::fstat(STDERR_FILENO, &st) == 0 &&
           fmt::format("{}:{}", st.st_dev, st.st_ino) == stream;
}

Failure cannot_open(const std::string& path, int code, std::string_view why) {
    return {
        code,
        fmt::format(
            "cannot open the log file {}: {}; choose a file in a directory that can be written",
            path,
            why
        )};
}

/// Why what was opened in the place of the log file is not written to; empty: it is.
std::string_view why_not(const Fd& fd) {
    struct stat st {};
    if (::fstat(fd.get(), &st) != 0) return strerrordesc_np(errno);
    if (S_ISCHR(st.st_mode)) return {};
    if (!S_ISREG(st.st_mode)) return "it is no regular file";
    // Where a name could be given to a file of somebody else's.
    if (st.st_nlink > 1) return "it has another name as well (a hard link)";
    return {};
}

/// Root opens it, maybe in a directory of somebody else's. spdlog would open it again, with mode
/// 0666, and follow links.
Outcome<Fd> open_log_file(const std::string& path) {
    constexpr int kFlags =
        O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
    Fd fd(::open(path.c_str(), kFlags, 0640));
    if (!fd) {
        const int code = errno;
        const auto* why = code == ELOOP ? "it is a link" : strerrordesc_np(code);
        return cannot_open(path, code, why);
    }
    if (const auto why = why_not(fd); !why.empty()) {
        return cannot_open(path, EPERM, why);
    }
    return fd;
}

Outcome<void> configure(const Options& options) {
    std::shared_ptr<spdlog::logger> logger;
    auto timestamps = Timestamps::ours;
    try {
        switch (options.destination) {
            case Destination::standard_error:
                timestamps = is_journal_stream() ? Timestamps::journal : Timestamps::ours;
                logger = make_logger(
                    std::make_shared<spdlog::sinks::stderr_sink_mt>(),
                    timestamps == Timestamps::journal ? "%v" : kFullPattern
                );
                break;
            case Destination::system:
                logger = make_logger(
                    std::make_shared<spdlog::sinks::syslog_sink_mt>(
                        "uidnfs", LOG_PID, LOG_DAEMON, false
                    ),
                    "%v"
                );
                break;
            case Destination::file: {
                auto file = open_log_file(options.file);
                if (!file) return std::move(file).error();
                logger = make_logger(std::make_shared<FileSink>(std::move(*file)), kFullPattern);
                break;
            }
        }
    } catch (const spdlog::spdlog_ex& error) {
        return cannot_open(options.file, EIO, error.what());
    }
    auto& s = state();
    const std::lock_guard lock(s.mutex);
    s.logger = std::move(logger);
    s.prefix = options.prefix;
    s.timestamps = timestamps;
    s.level = options.level;
    return {};
}

void set_level(Level level) noexcept { state().level = level; }

bool is_enabled(Level level) noexcept {
    return level >= state().level.load(std::memory_order_relaxed);
}

void write(Level level, std::string_view text) {
    auto& s = state();
    const std::lock_guard lock(s.mutex);
    if (!s.logger) {
        s.logger = make_logger(std::make_shared<spdlog::sinks::stderr_sink_mt>(), kFullPattern);
    }
    const auto priority = s.timestamps == Timestamps::journal ? journal_priority(level) : "";
    s.logger->log(to_spdlog(level), "{}{}{}", priority, s.prefix, printable(text));
}

bool parse_level(std::string_view name, Level& level) noexcept {
    for (const auto& [known, value] : kNames) {
        if (known == name) {
            level = value;
            return true;
        }
    }
    return false;
}

std::string_view to_string(Level level) noexcept {
    for (const auto& [name, value] : kNames) {
        if (value == level) return name;
    }
    return "off";
}

}  // namespace uidnfs::core::log
