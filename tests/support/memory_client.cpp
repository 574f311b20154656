// SPDX-License-Identifier: Apache-2.0
#include "support/memory_client.hpp"

#include "support/heap_bytes.hpp"
#include "support/tasks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace uidnfs::test {
namespace {

constexpr std::uint32_t kLargestTransfer = 1 << 20;

Identity identity_of(const nfs::CallContext& context) {
    Identity who{context.credential->uid().value(), context.credential->gid().value(), {}};
    for (const auto group : context.credential->groups()) who.groups.push_back(group.value());
    return who;
}

Reply<nfs::DirPage> cut_short(Reply<nfs::DirPage> reply, const Fault& fault) {
    if (!fault.at_most || reply.body.entries.size() <= *fault.at_most) return reply;
    reply.body.entries.resize(*fault.at_most);
    reply.body.more = nfs::DirPage::More::yes;
    return reply;
}

bool overlaps(const Call& a, const Call& b) {
    return a.offset < b.offset + b.count && b.offset < a.offset + a.count;
}

}  // namespace

MemoryClient::MemoryClient(core::Reactor& reactor, MemoryServer& server)
    : MemoryClient(reactor, server, Options{}) {}

MemoryClient::MemoryClient(core::Reactor& reactor, MemoryServer& server, Options options)
    : reactor_(&reactor),
      server_(&server),
      options_(std::move(options)),
      root_(server.handle(options_.export_path)),
      fs_info_(server.fsinfo({}, root_).body),
      random_(options_.travel.seed),
      resend_(reactor) {
    fs_info_.read_max = std::min(fs_info_.read_max, kLargestTransfer);
    fs_info_.read_preferred = std::min(fs_info_.read_preferred, fs_info_.read_max);
    fs_info_.write_max = std::min(fs_info_.write_max, kLargestTransfer);
    fs_info_.write_preferred = std::min(fs_info_.write_preferred, fs_info_.write_max);
}

MemoryClient::~MemoryClient() = default;

std::vector<std::string> MemoryClient::waiting() const {
    std::vector<std::string> out;
    for (const auto& flight : in_flight_) out.push_back(flight.call.describe());
    return out;
}

Call MemoryClient::describe(
    Procedure procedure, const nfs::CallContext& context, const nfs::FileHandle& object
) {
    Call call;
    call.procedure = procedure;
    call.who = identity_of(context);
    call.fileid = server_->fileid_of(object);
    call.origin = options_.name;
    ++calls_[procedure];
    return call;
}

void MemoryClient::violation(std::string text) { violations_.push_back(std::move(text)); }

void MemoryClient::check_order(const Flight& flight) {
    // A network may deliver calls in any order: whoever needs one must wait for the other's reply.
    const auto& call = flight.call;
    if (call.fileid == 0) return;
    const auto changes_size = [](const Call& other) {
        return other.procedure == Procedure::setattr && other.stability != 0;
    };
    for (const auto& other : in_flight_) {
        if (&other == &flight || other.call.fileid != call.fileid) continue;
        if (other.arrived == Flight::Arrived::yes) continue;
        const bool writes = call.procedure == Procedure::write &&
                            other.call.procedure == Procedure::write &&
                            overlaps(call, other.call) &&
                            (call.offset != other.call.offset || flight.payload != other.payload);
        const bool cuts = (changes_size(call) && other.call.procedure == Procedure::write) ||
                          (changes_size(other.call) && call.procedure == Procedure::write);
        if (writes || cuts) {
            violation(fmt::format(
                "{} went out while {} was on its way", call.describe(), other.call.describe()
            ));
        }
    }
}

core::Task<void> MemoryClient::travel() {
    const auto most = std::max(options_.travel.most_rounds, std::uint32_t{1});
    const auto rounds = 1 + random_() % most;
    for (std::uint64_t i = 0; i < rounds; ++i) {
        NextRound next{*reactor_};
        co_await next;
    }
    if (options_.travel.real_time.count() > 0) {
        auto sleep = reactor_->sleep_for(options_.travel.real_time);
        co_await sleep;
    }
}

template <class Body>
core::Task<core::Result<Body>> MemoryClient::perform(
    Call call,
    std::function<Reply<Body>(const Flight&, const Fault&)> execute,
    std::vector<std::byte> payload
) {
    const auto flight = in_flight_.insert(
        in_flight_.end(), {std::move(call), std::move(payload), Flight::Arrived::no}
    );
    most_in_flight_ = std::max(most_in_flight_, in_flight_.size());
    check_order(*flight);
    const auto finish = [this, flight](core::Result<Body> result) {
        in_flight_.erase(flight);
        return result;
    };
    const auto era = suspensions_;
    const auto is_cut = [this, era] { return is_suspended_ || era != suspensions_; };
    for (;;) {
        auto there = travel();
        co_await std::move(there);
        if (state_ == State::down) co_return finish(core::Error(ECONNABORTED));
        if (is_cut()) co_return finish(suspended_why_);
        const auto fault = server_->admit(flight->call);
        if (fault.delay.count() > 0) {
            auto sleep = reactor_->sleep_for(fault.delay);
            co_await sleep;
        }
        if (fault.reply == Fault::Reply::ignored) {
            auto again = resend_.wait();
            co_await again;
            continue;
        }
        if (is_cut()) co_return finish(suspended_why_);
        Reply<Body> reply;
        if (fault.fail) {
            reply.status = *fault.fail;
        } else {
            reply = execute(*flight, fault);
        }
        flight->arrived = Flight::Arrived::yes;
        if (fault.hold_reply.count() > 0) {
            auto sleep = reactor_->sleep_for(fault.hold_reply);
            co_await sleep;
        }
        auto back = travel();
        co_await std::move(back);
        if (state_ == State::down) co_return finish(core::Error(ECONNABORTED));
        if (is_cut()) co_return finish(suspended_why_);
        if (reply.status == Status::jukebox) {
            auto wait = reactor_->sleep_for(options_.jukebox_wait);
            co_await wait;
            flight->arrived = Flight::Arrived::no;
            continue;
        }
        if (fault.reply == Fault::Reply::lost) {
            if (options_.lost_reply == LostReply::repeat) {
                flight->arrived = Flight::Arrived::no;
                continue;
            }
            if (options_.lost_reply == LostReply::fail) {
                co_return finish(core::Error(ETIMEDOUT, core::ErrorSource::rpc));
            }
            auto again = travel();
            co_await std::move(again);
        }
        if (reply.status != Status::ok) {
            co_return finish(core::Error(
                to_errno(reply.status),
                core::ErrorSource::nfs,
                static_cast<std::uint32_t>(reply.status)
            ));
        }
        co_return finish(std::move(reply.body));
    }
}

core::Task<core::Result<nfs::Attr>> MemoryClient::getattr(
    const nfs::CallContext& context, const nfs::FileHandle& object
) {
    auto call = describe(Procedure::getattr, context, object);
    return perform<nfs::Attr>(std::move(call), [this, object](const Flight& flight, const Fault&) {
        return server_->getattr(flight.call.who, object);
    });
}

core::Task<core::Result<nfs::Wcc>> MemoryClient::setattr(
    const nfs::CallContext& context,
    const nfs::OpenRef& open,
    const nfs::SetAttr& change,
    std::optional<nfs::Time> guard
) {
    auto call = describe(Procedure::setattr, context, open.handle);
    if (change.size) {
        call.offset = *change.size;
        call.stability = 1;  // "changes the size", for check_order()
    }
    return perform<nfs::Wcc>(
        std::move(call),
        [this, handle = open.handle, change, guard](const Flight& flight, const Fault&) {
            return server_->setattr(flight.call.who, handle, change, guard);
        }
    );
}

core::Task<core::Result<nfs::LookupReply>> MemoryClient::lookup(
    const nfs::CallContext& context, const nfs::FileHandle& dir, std::string_view name
) {
    auto call = describe(Procedure::lookup, context, dir);
    call.name = name;
    return perform<nfs::LookupReply>(
        std::move(call),
        [this, dir](const Flight& flight, const Fault&) {
            return server_->lookup(flight.call.who, dir, flight.call.name);
        }
    );
}

core::Task<core::Result<nfs::AccessReply>> MemoryClient::access(
    const nfs::CallContext& context, const nfs::FileHandle& object, nfs::AccessBits wanted
) {
    auto call = describe(Procedure::access, context, object);
    call.stability = wanted;
    return perform<nfs::AccessReply>(
        std::move(call),
        [this, object, wanted](const Flight& flight, const Fault&) {
            return server_->access(flight.call.who, object, wanted);
        }
    );
}

core::Task<core::Result<nfs::ReadlinkReply>> MemoryClient::readlink(
    const nfs::CallContext& context, const nfs::FileHandle& object
) {
    auto call = describe(Procedure::readlink, context, object);
    return perform<nfs::ReadlinkReply>(
        std::move(call),
        [this, object](const Flight& flight, const Fault&) {
            return server_->readlink(flight.call.who, object);
        }
    );
}

core::Task<core::Result<nfs::OpenReply>> MemoryClient::open(
    const nfs::CallContext& context, const nfs::FileHandle& object, nfs::AccessBits wanted
) {
    const auto handle = object;
    auto calls = both(*reactor_, getattr(context, handle), access(context, handle, wanted));
    const auto [attr, granted] = co_await std::move(calls);
    if (!attr) co_return attr.error();
    if (!granted) co_return granted.error();
    co_return nfs::OpenReply{{handle, {}}, *attr, granted->granted};
}

core::Task<core::Result<void>> MemoryClient::close(const nfs::CallContext&, const nfs::OpenRef&) {
    co_return core::Result<void>{};
}

core::Task<core::Result<nfs::ReadReply>> MemoryClient::read(
    const nfs::CallContext& context,
    const nfs::OpenRef& open,
    std::uint64_t offset,
    std::uint32_t count
) {
    auto call = describe(Procedure::read, context, open.handle);
    call.offset = offset;
    call.count = count;
    if (count > fs_info_.read_max) violation(call.describe() + ": more than rtmax");
    return perform<nfs::ReadReply>(
        std::move(call),
        [this, handle = open.handle](const Flight& flight, const Fault& fault) {
            auto length = static_cast<std::uint32_t>(flight.call.count);
            if (fault.at_most) length = std::min(length, *fault.at_most);
            auto read = server_->read(flight.call.who, handle, flight.call.offset, length);
            Reply<nfs::ReadReply> reply{read.status};
            auto& data = read.body.data;
            reply.body.data = options_.piped ? options_.piped->slice(std::move(data))
                                             : HeapBytes::slice(std::move(data));
            reply.body.end = read.body.end == ReadBody::End::yes ? nfs::ReadReply::End::yes
                                                                 : nfs::ReadReply::End::no;
            reply.body.attr = read.body.attr;
            return reply;
        }
    );
}

core::Task<core::Result<nfs::WriteReply>> MemoryClient::write(
    const nfs::CallContext& context,
    const nfs::OpenRef& open,
    std::uint64_t offset,
    std::span<const core::Slice> data,
    nfs::Stability stability
) {
    const auto gather = [](std::span<const core::Slice> slices) {
        std::vector<std::byte> out;
        for (const auto& slice : slices) {
            out.insert(out.end(), slice.bytes().begin(), slice.bytes().end());
        }
        return out;
    };
    auto payload = gather(data);
    auto call = describe(Procedure::write, context, open.handle);
    call.offset = offset;
    call.count = payload.size();
    call.stability = static_cast<std::uint32_t>(stability);
    if (payload.size() > fs_info_.write_max) violation(call.describe() + ": more than wtmax");
    // The slices are the caller's until the end, so the span is still good when the call arrives.
    return perform<nfs::WriteReply>(
        std::move(call),
        [this, handle = open.handle, data, gather, stability](
            const Flight& flight, const Fault& fault
        ) {
            auto now = gather(data);
            if (now != flight.payload) {
                violation(flight.call.describe() + ": the payload changed on its way");
            }
            if (fault.at_most) now.resize(std::min<std::size_t>(now.size(), *fault.at_most));
            return server_->write(flight.call.who, handle, flight.call.offset, now, stability);
        },
        std::move(payload)
    );
}

core::Task<core::Result<nfs::CommitReply>> MemoryClient::commit(
    const nfs::CallContext& context,
    const nfs::OpenRef& open,
    std::uint64_t offset,
    std::uint32_t count
) {
    auto call = describe(Procedure::commit, context, open.handle);
    call.offset = offset;
    call.count = count;
    return perform<nfs::CommitReply>(
        std::move(call),
        [this, handle = open.handle, offset, count](const Flight& flight, const Fault&) {
            return server_->commit(flight.call.who, handle, offset, count);
        }
    );
}

core::Task<core::Result<nfs::CreateReply>> MemoryClient::create(
    const nfs::CallContext& context,
    const nfs::FileHandle& dir,
    std::string_view name,
    nfs::CreateHow how,
    const nfs::SetAttr& attributes,
    const nfs::Verifier& verifier
) {
    auto call = describe(Procedure::create, context, dir);
    call.name = name;
    call.stability = static_cast<std::uint32_t>(how);
    return perform<nfs::CreateReply>(
        std::move(call),
        [this, dir, how, attributes, verifier](const Flight& flight, const Fault&) {
            const auto& sent = flight.call;
            return server_->create(sent.who, dir, sent.name, how, attributes, verifier);
        }
    );
}

core::Task<core::Result<nfs::CreateReply>> MemoryClient::mkdir(
    const nfs::CallContext& context,
    const nfs::FileHandle& dir,
    std::string_view name,
    const nfs::SetAttr& attributes
) {
    auto call = describe(Procedure::mkdir, context, dir);
    call.name = name;
    return perform<nfs::CreateReply>(
        std::move(call),
        [this, dir, attributes](const Flight& flight, const Fault&) {
            return server_->mkdir(flight.call.who, dir, flight.call.name, attributes);
        }
    );
}

core::Task<core::Result<nfs::CreateReply>> MemoryClient::symlink(
    const nfs::CallContext& context,
    const nfs::FileHandle& dir,
    std::string_view name,
    std::string_view target,
    const nfs::SetAttr& attributes
) {
    auto call = describe(Procedure::symlink, context, dir);
    call.name = name;
    call.other_name = target;
    return perform<nfs::CreateReply>(
        std::move(call),
        [this, dir, attributes](const Flight& flight, const Fault&) {
            const auto& sent = flight.call;
            return server_->symlink(sent.who, dir, sent.name, sent.other_name, attributes);
        }
    );
}

core::Task<core::Result<nfs::CreateReply>> MemoryClient::mknod(
    const nfs::CallContext& context,
    const nfs::FileHandle& dir,
    std::string_view name,
    nfs::FileType type,
    std::uint32_t rdev_major,
    std::uint32_t rdev_minor,
    const nfs::SetAttr& attributes
) {
    auto call = describe(Procedure::mknod, context, dir);
    call.name = name;
    return perform<nfs::CreateReply>(
        std::move(call),
        [this, dir, type, rdev_major, rdev_minor, attributes](const Flight& flight, const Fault&) {
            const auto& sent = flight.call;
            return server_->mknod(
                sent.who, dir, sent.name, type, rdev_major, rdev_minor, attributes
            );
        }
    );
}

core::Task<core::Result<nfs::Wcc>> MemoryClient::remove(
    const nfs::CallContext& context, const nfs::FileHandle& dir, std::string_view name
) {
    auto call = describe(Procedure::remove, context, dir);
    call.name = name;
    return perform<nfs::Wcc>(std::move(call), [this, dir](const Flight& flight, const Fault&) {
        return server_->remove(flight.call.who, dir, flight.call.name);
    });
}

core::Task<core::Result<nfs::Wcc>> MemoryClient::rmdir(
    const nfs::CallContext& context, const nfs::FileHandle& dir, std::string_view name
) {
    auto call = describe(Procedure::rmdir, context, dir);
    call.name = name;
    return perform<nfs::Wcc>(std::move(call), [this, dir](const Flight& flight, const Fault&) {
        return server_->rmdir(flight.call.who, dir, flight.call.name);
    });
}

core::Task<core::Result<nfs::RenameReply>> MemoryClient::
    rename(const nfs::CallContext& context, const nfs::FileHandle& from_dir, std::string_view from_name, const nfs::FileHandle& to_dir, std::string_view to_name, std::optional<std::uint64_t>) {
    auto call = describe(Procedure::rename, context, from_dir);
    call.name = from_name;
    call.other_name = to_name;
    return perform<nfs::RenameReply>(
        std::move(call),
        [this, from_dir, to_dir](const Flight& flight, const Fault&) {
            const auto& sent = flight.call;
            return server_->rename(sent.who, from_dir, sent.name, to_dir, sent.other_name);
        }
    );
}

core::Task<core::Result<nfs::LinkReply>> MemoryClient::link(
    const nfs::CallContext& context,
    const nfs::FileHandle& file,
    const nfs::FileHandle& dir,
    std::string_view name
) {
    auto call = describe(Procedure::link, context, file);
    call.name = name;
    return perform<nfs::LinkReply>(
        std::move(call),
        [this, file, dir](const Flight& flight, const Fault&) {
            return server_->link(flight.call.who, file, dir, flight.call.name);
        }
    );
}

core::Task<core::Result<nfs::DirPage>> MemoryClient::readdir(
    const nfs::CallContext& context,
    const nfs::FileHandle& dir,
    const nfs::DirCursor& from,
    std::uint32_t max_bytes
) {
    auto call = describe(Procedure::readdir, context, dir);
    call.offset = from.cookie;
    call.count = max_bytes;
    return perform<nfs::DirPage>(
        std::move(call),
        [this, dir, from, max_bytes](const Flight& flight, const Fault& fault) {
            return cut_short(server_->readdir(flight.call.who, dir, from, max_bytes), fault);
        }
    );
}

core::Task<core::Result<nfs::DirPage>> MemoryClient::readdirplus(
    const nfs::CallContext& context,
    const nfs::FileHandle& dir,
    const nfs::DirCursor& from,
    std::uint32_t max_bytes
) {
    auto call = describe(Procedure::readdirplus, context, dir);
    call.offset = from.cookie;
    call.count = max_bytes;
    return perform<nfs::DirPage>(
        std::move(call),
        [this, dir, from, max_bytes](const Flight& flight, const Fault& fault) {
            return cut_short(
                server_->readdirplus(flight.call.who, dir, from, max_bytes, max_bytes), fault
            );
        }
    );
}

core::Task<core::Result<nfs::FsStatReply>> MemoryClient::fsstat(
    const nfs::CallContext& context, const nfs::FileHandle& object
) {
    auto call = describe(Procedure::fsstat, context, object);
    return perform<nfs::FsStatReply>(
        std::move(call),
        [this, object](const Flight& flight, const Fault&) {
            return server_->fsstat(flight.call.who, object);
        }
    );
}

core::Task<core::Result<nfs::FsInfo>> MemoryClient::fsinfo(
    const nfs::CallContext& context, const nfs::FileHandle& object
) {
    auto call = describe(Procedure::fsinfo, context, object);
    return perform<nfs::FsInfo>(
        std::move(call),
        [this, object](const Flight& flight, const Fault&) {
            return server_->fsinfo(flight.call.who, object);
        }
    );
}

core::Task<core::Result<nfs::PathConf>> MemoryClient::pathconf(
    const nfs::CallContext& context, const nfs::FileHandle& object
) {
    auto call = describe(Procedure::pathconf, context, object);
    return perform<nfs::PathConf>(
        std::move(call),
        [this, object](const Flight& flight, const Fault&) {
            return server_->pathconf(flight.call.who, object);
        }
    );
}

nfs::ClientStatus MemoryClient::status() const {
    nfs::ClientStatus out;
    out.server_address = "memory";
    out.link = state_ == State::up ? nfs::ClientStatus::Link::up : nfs::ClientStatus::Link::down;
    out.calls_in_flight = in_flight_.size();
    if (has_ignored()) out.oldest_call_age_ms = out.last_reply_age_ms = 10'000;
    for (const auto& [procedure, calls] : calls_) {
        out.procedures.push_back({std::string(to_string(procedure)), calls});
    }
    return out;
}

void MemoryClient::suspend(core::Error why) {
    is_suspended_ = true;
    ++suspensions_;
    suspended_why_ = why;
    resend_.notify_all();
}

core::Task<void> MemoryClient::shutdown(const nfs::CallContext&) {
    state_ = State::down;
    resend_.notify_all();
    while (!in_flight_.empty()) {
        NextRound next{*reactor_};
        co_await next;
    }
}

}  // namespace uidnfs::test
