// SPDX-License-Identifier: Apache-2.0
// Starter: whoever started a mount and waits for the word: the same process with --foreground, else
// the launcher at the other end of a channel. Told the word exactly once. Used by the keeper's
// thread.
#pragma once

#include "app/console.hpp"
#include "app/names.hpp"
#include "core/error.hpp"

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace uidnfs::app {

class Starter {
public:
    virtual ~Starter() = default;
    virtual void mounted() = 0;
    virtual void failed(const core::Failure& failure) = 0;
    /// Not yet the word: the first try failed and others follow. Told once at most.
    virtual void trying(const std::string& text) = 0;
    /// As good as the word, with bg: it goes on without whoever started it.
    virtual void in_background(const std::string& text) = 0;
    /// Readable when the starter is gone; -1: it cannot be.
    virtual int fd() const noexcept = 0;
    /// After fd() was readable.
    virtual bool is_gone() = 0;
};

/// --foreground: the words go to the console, the service manager and --ready-fd.
class ConsoleStarter final : public Starter {
public:
    ConsoleStarter(Console& console, std::optional<int> ready_fd) noexcept
        : console_(&console), ready_fd_(ready_fd) {}

    void mounted() override;
    void failed(const core::Failure& failure) override { console_->complain(failure.user_text); }
    void trying(const std::string& text) override { console_->complain(text); }
    /// There is nothing to go to the background from.
    void in_background(const std::string& text) override { console_->complain(text); }
    int fd() const noexcept override { return -1; }
    bool is_gone() override { return false; }

private:
    Console* console_;
    std::optional<int> ready_fd_;
};

/// A launcher that exits when it is told.
class ChannelStarter final : public Starter {
public:
    explicit ChannelStarter(Channel channel) noexcept : channel_(std::move(channel)) {}

    void mounted() override;
    void failed(const core::Failure& failure) override;
    void trying(const std::string& text) override;
    void in_background(const std::string& text) override;
    int fd() const noexcept override { return channel_.fd(); }
    bool is_gone() override;

private:
    Channel channel_;
};

/// What ChannelStarter said.
struct Verdict {
    enum class Is : std::uint8_t { mounted, failed, trying, in_background } is;
    core::Failure failure = {};  ///< failed
    std::string text = {};       ///< trying, in_background
};
Verdict read_verdict(const Message& message);

/// Writes "READY=1\n".
void write_ready(int fd);

}  // namespace uidnfs::app
