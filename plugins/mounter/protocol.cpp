// SPDX-License-Identifier: Apache-2.0
#include "plugins/mounter/protocol.hpp"

#include <algorithm>
#include <cstring>

namespace uidnfs::plugins::mounter {
namespace {

template <class Record>
std::optional<Record> read_record(std::span<const std::byte> bytes) {
    Record record;
    if (bytes.size() != sizeof record) return std::nullopt;
    std::memcpy(&record, bytes.data(), sizeof record);
    if (record.magic != kMagic) return std::nullopt;
    return record;
}

}  // namespace

Reply failed(int error, std::string_view why) {
    Reply reply;
    reply.error = static_cast<std::uint32_t>(error);
    reply.text.cut(why);
    return reply;
}

Reply make_answer(std::string_view directory, WorkerId keeper, std::uint32_t minor) {
    Reply reply;
    reply.directory.cut(directory);
    reply.pid = keeper.pid;
    reply.start_time = keeper.start_time;
    reply.minor = minor;
    return reply;
}

std::optional<Request> read_request(std::span<const std::byte> bytes) {
    auto request = read_record<Request>(bytes);
    if (!request) return std::nullopt;
    const bool is_sound = request->reference.is_sound() && request->directory.is_sound() &&
                          request->source.is_sound() && request->options.is_sound() &&
                          request->text.is_sound();
    if (!is_sound || request->verb < Verb::start || request->verb > Verb::allow) {
        return std::nullopt;
    }
    return request;
}

std::optional<Reply> read_reply(std::span<const std::byte> bytes) {
    auto reply = read_record<Reply>(bytes);
    if (!reply) return std::nullopt;
    const bool is_sound = reply->directory.is_sound() && reply->rule.is_sound() &&
                          reply->lost.is_sound() && reply->text.is_sound();
    if (!is_sound || reply->kind < Kind::answer || reply->kind > Kind::keeper_replaced)
        return std::nullopt;
    return reply;
}

bool is_directory_name(std::string_view name) noexcept {
    const auto is_fine = [](char letter) {
        return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
               (letter >= '0' && letter <= '9') ||
               std::string_view("_=.~%-").find(letter) != std::string_view::npos;
    };
    return !name.empty() && name.front() != '.' && name.size() <= 200 &&
           std::all_of(name.begin(), name.end(), is_fine);
}

}  // namespace uidnfs::plugins::mounter
