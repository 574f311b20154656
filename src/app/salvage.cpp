// SPDX-License-Identifier: Apache-2.0
// The hidden command "salvage": a process without rights that takes out of a mount's memory what
// was not written, for the keeper, which reads nothing of it. It is given the memory and an open
// file.
#include "fs/salvage.hpp"

#include "app/convert.hpp"
#include "app/keeper.hpp"
#include "app/landlock.hpp"
#include "app/lost_lines.hpp"
#include "app/mount_memory.hpp"
#include "app/names.hpp"
#include "app/process.hpp"
#include "app/recovery_file.hpp"
#include "app/seccomp.hpp"
#include "core/log.hpp"
#include "fs/arena_check.hpp"
#include "fs/filesystem.hpp"

#include <fmt/format.h>

#include <chrono>

namespace uidnfs::app {
namespace {

RecoveryIdentity identity_of(const mapper::Credential& credential) {
    RecoveryIdentity identity{credential.uid().value(), credential.gid().value()};
    for (const auto group : credential.groups()) identity.groups.push_back(group.value());
    return identity;
}

RecoveryIdentity identity_of(const fs::CredentialRecord& record) {
    return {
        record.uid,
        record.gid,
        {record.groups.begin(), record.groups.begin() + record.group_count}};
}

class Salvage {
public:
    Salvage(const core::Arena& arena, const fs::SoundRecords& sound, const fs::Options& options)
        : own_(identity_of(*options.credential)) {
        for (const auto& record : fs::recorded_credentials(arena, sound)) {
            recorded_.push_back(identity_of(record));
        }
        for (const auto& file : fs::unwritten_files(arena, sound)) add(file);
    }

    std::vector<RecoveryEntry> take() { return std::move(entries_); }

private:
    void add(const fs::UnwrittenFile& file) {
        RecoveryEntry entry{file.path, file.fileid, file.handle, file.ctime, {}};
        for (const auto& piece : file.ranges) {
            const auto& identity =
                piece.credential == fs::kMountsOwn ? own_ : recorded_[piece.credential - 1];
            auto* last = entry.ranges.empty() ? nullptr : &entry.ranges.back();
            if (!last || last->offset + last->length != piece.offset ||
                last->identity != identity) {
                entry.ranges.push_back({piece.offset, 0, identity});
                last = &entry.ranges.back();
            }
            last->length += piece.bytes.size();
            last->pieces.push_back(piece.bytes);
        }
        entries_.push_back(std::move(entry));
    }

    RecoveryIdentity own_;
    std::vector<RecoveryIdentity> recorded_;
    std::vector<RecoveryEntry> entries_;
};

std::string describe(const fs::Survey& survey) {
    auto text = fmt::format("the state of the mount is damaged: {}", *survey.damage);
    if (survey.more > 0) text += fmt::format(", and {} more", survey.more);
    return text;
}

Message told(const Recovery& recovery) {
    Message message("saved");
    message.add("bytes", recovery.bytes()).add("files", recovery.entries.size());
    LostLines lines(message);
    if (!recovery.damage.empty()) {
        lines.add(
            fmt::format("what could not be read of it, if there was more: {}", recovery.damage)
        );
    }
    for (const auto& entry : recovery.entries) {
        for (const auto& range : entry.ranges) {
            lines.add(fmt::format(
                "{}: {} at offset {}", entry.describe(), human_bytes(range.length), range.offset
            ));
        }
    }
    lines.end("see the file");
    return message;
}

core::Outcome<Message> salvage(
    const MountSpec& spec, const config::MountRequest& request, core::Fd memory, int file
) {
    const auto options = filesystem_options_of(request.options, machine_name());
    if (!options) return options.error();
    const auto arena = core::Arena::attach(std::move(memory), mount_regions());
    if (!arena) return core::Failure{arena.error().code(), fs::explain_refusal(arena.error())};
    const auto survey = fs::survey(*arena, options->root_identity);
    Recovery recovery{
        spec.source, {}, spec.mountpoint, utc_time(std::chrono::system_clock::now()), {}};
    if (survey.damage) recovery.damage = describe(survey);
    for (const auto& option : spec.options) recovery.options.push_back(write_option(option));
    recovery.entries = Salvage(*arena, survey.sound, *options).take();
    if (recovery.entries.empty() && survey.damage) return core::Failure{EPROTO, recovery.damage};
    if (recovery.entries.empty()) return told(recovery);
    if (const auto written = write_recovery(file, recovery); !written) {
        return core::Failure{written.error().code(), describe_errno(written.error().code())};
    }
    return told(recovery);
}

}  // namespace

int run_salvage() {
    if (!begin_role("salvage")) return kRoleMisused;
    Channel keeper{core::Fd(kChannelDescriptor)};
    auto received =
        keeper.receive_until(std::chrono::steady_clock::now() + std::chrono::seconds(5));
    if (!received || received->descriptors.size() != 2) return kRoleMisused;
    const auto spec = MountSpec::decode(received->message);
    if (!spec) return kRoleMisused;
    const auto request = config::parse_mount_request(spec->source, spec->options);
    if (!request) return kRoleMisused;
    if (!configure_log(*spec, *request) || !give_up_privileges(*spec, ReservedPort::unneeded)) {
        return kExitRoleFailed;
    }
    if (spec->worker_user) static_cast<void>(restrict_files());
    static_cast<void>(restrict_system_calls());
    auto& fds = received->descriptors;
    const auto done = salvage(*spec, *request, std::move(fds[0]), fds[1].get());
    Message answer = done ? *done : Message("unsaved").add("text", done.error().user_text);
    return keeper.send(answer) ? 0 : kExitRoleFailed;
}

}  // namespace uidnfs::app
