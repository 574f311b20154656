// SPDX-License-Identifier: Apache-2.0
#include "app/starter.hpp"

#include "core/service_manager.hpp"

#include <unistd.h>

#include <cerrno>
#include <string_view>

namespace uidnfs::app {
namespace {

constexpr const char* kMounted = "mounted";
constexpr const char* kFailed = "failed";
constexpr const char* kTrying = "trying";
constexpr const char* kInBackground = "in_background";

}  // namespace

void ConsoleStarter::mounted() {
    if (ready_fd_) write_ready(*ready_fd_);
    core::notify_service_manager("READY=1");
}

void ChannelStarter::mounted() {
    static_cast<void>(channel_.send(Message(kMounted)));
    channel_.close();
}

void ChannelStarter::failed(const core::Failure& failure) {
    Message message(kFailed);
    message.add("code", static_cast<std::uint64_t>(failure.code)).add("text", failure.user_text);
    static_cast<void>(channel_.send(message));
    channel_.close();
}

void ChannelStarter::trying(const std::string& text) {
    static_cast<void>(channel_.send(Message(kTrying).add("text", text)));
}

void ChannelStarter::in_background(const std::string& text) {
    static_cast<void>(channel_.send(Message(kInBackground).add("text", text)));
    channel_.close();
}

bool ChannelStarter::is_gone() {
    const auto received = channel_.receive();
    return !received && received.error().code() != EAGAIN;
}

Verdict read_verdict(const Message& message) {
    if (message.verb() == kMounted) return {Verdict::Is::mounted};
    std::string text(message.text("text"));
    if (message.verb() == kTrying) return {Verdict::Is::trying, {}, std::move(text)};
    if (message.verb() == kInBackground) return {Verdict::Is::in_background, {}, std::move(text)};
    core::Failure failure{EIO, std::move(text), {}};
    if (const auto code = message.number("code")) failure.code = static_cast<int>(*code);
    if (failure.user_text.empty()) failure.user_text = "the keeper process gave no reason";
    return {Verdict::Is::failed, std::move(failure)};
}

void write_ready(int fd) {
    constexpr std::string_view kReady = "READY=1\n";
    while (::write(fd, kReady.data(), kReady.size()) < 0 && errno == EINTR) {
    }
    ::close(fd);
}

}  // namespace uidnfs::app
