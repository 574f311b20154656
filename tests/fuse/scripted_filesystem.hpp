// SPDX-License-Identifier: Apache-2.0
// ScriptedFilesystem: says what a test wants it to say, and notes what it was asked. Owned by a
// test; reactor's thread only.
#pragma once

#include "core/arena.hpp"
#include "core/event.hpp"
#include "core/slots.hpp"
#include "fs/operations.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::test {

class ScriptedFilesystem final : public fs::Operations {
    // First, so that payloads die before them.
    std::optional<core::Arena> arena_;
    std::optional<core::SlotPool> slots_;

public:
    explicit ScriptedFilesystem(core::Reactor& reactor) : gate_(reactor) {}

    /// "lookup 1 a by 2000:2001", in order.
    std::vector<std::string> calls;
    std::function<void(std::string_view)> on_call = {};

    core::Result<fs::Entry> entry = fs::Entry{};
    core::Result<fs::AttrReply> attr = fs::AttrReply{};
    core::Result<std::string> link_target = std::string();
    core::Result<fs::OpenReply> opened = fs::OpenReply{};
    core::Result<fs::CreateReply> created = fs::CreateReply{};
    core::Result<fs::ReadData> data = fs::ReadData{};
    core::Result<std::size_t> written = std::size_t{0};
    core::Result<struct statvfs> statistics = statvfs_of_nothing();
    core::Result<void> done = {};
    std::vector<fs::DirItem> items;
    fs::Caller last_caller;             ///< of the last getattr
    fs::SetAttrRequest change;          ///< of the last setattr
    std::vector<core::Slice> payloads;  ///< of the writes so far
    std::optional<int> write_flags;     ///< of the last write
    enum class Start { works, throws } start = Start::works;
    /// Before the session is opened.
    void make_slots(std::uint32_t bytes, std::uint64_t count);

    /// From now on operations wait in the file system.
    void hold() noexcept { held_ = Held::yes; }
    /// Those that wait, and later ones, go on.
    void go_on() {
        held_ = Held::no;
        gate_.notify_all();
    }

    core::SlotPool& slots() noexcept override { return *slots_; }
    core::Task<core::Result<fs::Entry>> lookup(
        fs::Caller caller, fs::InodeId parent, std::string name
    ) override;
    void forget(fs::InodeId id, std::uint64_t count) override;
    core::Task<core::Result<fs::AttrReply>> getattr(fs::Caller caller, fs::InodeId id) override;
    core::Task<core::Result<fs::AttrReply>> setattr(
        fs::Caller caller, fs::InodeId id, fs::SetAttrRequest request
    ) override;
    core::Task<core::Result<void>> access(fs::Caller caller, fs::InodeId id, int mask) override;
    core::Task<core::Result<std::string>> readlink(fs::Caller caller, fs::InodeId id) override;
    core::Task<core::Result<fs::Entry>> mknod(
        fs::Caller caller, fs::InodeId parent, std::string name, mode_t mode, dev_t rdev
    ) override;
    core::Task<core::Result<fs::Entry>> mkdir(
        fs::Caller caller, fs::InodeId parent, std::string name, mode_t mode
    ) override;
    core::Task<core::Result<fs::Entry>> symlink(
        fs::Caller caller, fs::InodeId parent, std::string name, std::string target
    ) override;
    core::Task<core::Result<void>> unlink(fs::Caller caller, fs::InodeId parent, std::string name)
        override;
    core::Task<core::Result<void>> rmdir(fs::Caller caller, fs::InodeId parent, std::string name)
        override;
    core::Task<core::Result<void>> rename(
        fs::Caller caller,
        fs::InodeId from_parent,
        std::string from_name,
        fs::InodeId to_parent,
        std::string to_name,
        fs::RenameMode mode
    ) override;
    core::Task<core::Result<fs::Entry>> link(
        fs::Caller caller, fs::InodeId id, fs::InodeId new_parent, std::string new_name
    ) override;
    core::Task<core::Result<fs::OpenReply>> open(fs::Caller caller, fs::InodeId id, int flags)
        override;
    core::Task<core::Result<fs::CreateReply>> create(
        fs::Caller caller, fs::InodeId parent, std::string name, mode_t mode, int flags
    ) override;
    core::Task<core::Result<fs::ReadData>> read(
        fs::OpenId open, std::uint64_t offset, std::size_t size
    ) override;
    core::Task<core::Result<std::size_t>> write(
        fs::OpenId open,
        std::uint64_t offset,
        core::Slice bytes,
        fs::WriteOrigin origin,
        core::Progress progress = {},
        std::optional<int> flags = {}
    ) override;
    core::Task<core::Result<void>> flush(fs::OpenId open) override;
    core::Task<core::Result<void>> fsync(fs::OpenId open) override;
    core::Task<void> release(fs::OpenId open) override;
    core::Task<core::Result<fs::OpenReply>> opendir(fs::Caller caller, fs::InodeId id) override;
    core::Task<core::Result<void>> readdir(
        fs::OpenId open, std::uint64_t offset, fs::Listing listing, fs::DirSink sink
    ) override;
    core::Task<core::Result<void>> fsyncdir(fs::OpenId open) override;
    void releasedir(fs::OpenId open) override;
    core::Task<core::Result<struct statvfs>> statfs(fs::Caller caller, fs::InodeId id) override;

private:
    using Self = ScriptedFilesystem;

    void note(std::string call);
    /// Notes a call; its answer is looked up when it ends.
    template <class R>
    core::Task<core::Result<R>> perform(std::string call, core::Result<R> Self::*answer) {
        note(std::move(call));
        return wait_and_answer(answer);
    }
    template <class R>
    core::Task<core::Result<R>> wait_and_answer(core::Result<R> Self::*answer) {
        while (held_ == Held::yes) {
            auto wait = gate_.wait();
            co_await wait;
        }
        co_return this->*answer;
    }
    core::Task<core::Result<void>> list(core::Task<core::Result<void>> work, fs::DirSink sink);
    core::Task<void> pass(core::Task<core::Result<void>> work);
    static struct statvfs statvfs_of_nothing() { return {}; }

    enum class Held { no, yes } held_ = Held::no;
    core::Event gate_;
};

}  // namespace uidnfs::test
