// SPDX-License-Identifier: Apache-2.0
// What a mount could not write when it ended goes to a recovery file. The keeper makes the file and
// reads nothing: another process without rights takes the bytes out of the mount's memory.
#include "app/keeper.hpp"
#include "app/names.hpp"
#include "app/recovery_file.hpp"
#include "core/clock.hpp"
#include "core/log.hpp"

#include <fmt/format.h>

#include <array>
#include <chrono>

namespace uidnfs::app {
namespace {

/// The mount is gone already, and whoever unmounts it waits.
constexpr std::chrono::seconds kSavingLimit{30};

using core::now;

core::Failure failure(std::string why) {
    return {EIO, fmt::format("what was not written cannot be kept: {}", why)};
}

}  // namespace

core::Outcome<Message> Keeper::salvage(int file) {
    auto ends = Channel::make_pair();
    if (!ends) return failure(describe_errno(ends.error().code()));
    auto& [ours, theirs] = *ends;
    const auto output = spec_.stay == Stay::foreground ? Output::standard_error : Output::none;
    auto child = spawn_role("salvage", theirs.fd(), output);
    if (!child) return failure(describe_errno(child.error().code()));
    theirs.close();
    const std::array descriptors{arena_.get(), file};
    if (const auto sent = ours.send(spec_.encode(), descriptors); !sent) {
        return failure(describe_errno(sent.error().code()));
    }
    auto answer = ours.receive_until(now() + kSavingLimit);
    child->kill();
    if (!answer) return failure(describe_errno(answer.error().code()));
    if (answer->message.verb() != "saved") {
        return failure(std::string(answer->message.text("text")));
    }
    return std::move(answer->message);
}

/// Who ended with the machine told a log that had ended already.
void Keeper::tell_of_unwritten() const {
    constexpr std::size_t kMost = 3;
    auto files = recovery_files_of(spec_.recovery, spec_.mountpoint);
    if (files.empty()) return;
    const auto count = files.size();
    if (count > kMost) files.erase(files.begin(), files.end() - kMost);
    core::log::warning(
        "what earlier mounts of this name could not write is still kept, in {} file(s): {}; "
        "uidnfs recover FILE --list says what it is, uidnfs recover FILE writes it back; "
        "then remove it",
        count,
        core::log::printable(fmt::format("{}", fmt::join(files, ", ")))
    );
}

void Keeper::save_unwritten() {
    const bool is_told = ended_ == Ended::yes;
    if (!arena_ || (is_told && lost_.empty())) return;
    const auto name = recovery_name(
        spec_.mountpoint, utc_time(std::chrono::system_clock::now()), spec_.keeper_pid
    );
    auto file = NewRecoveryFile::create(spec_.recovery, name);
    auto saved = file ? salvage(file->fd()) : core::Outcome<Message>(file.error());
    if (saved && !is_told) note_lost(saved->all("lost"));
    if (saved && saved->number("files").value_or(0) == 0) return;
    auto kept = saved ? file->keep() : core::Outcome<std::string>(saved.error());
    if (!kept) {
        if (!saved && !is_told) {
            note_lost({"bytes not yet committed, if there were any: " + given_up_});
        }
        note_lost({kept.error().user_text});
        return;
    }
    kept_ = *kept;
    core::log::error(
        "what was not written is kept: {} in {}; uidnfs recover writes it back",
        human_bytes(saved->number("bytes").value_or(0)),
        kept_
    );
}

}  // namespace uidnfs::app
