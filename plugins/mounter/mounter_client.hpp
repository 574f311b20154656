// SPDX-License-Identifier: Apache-2.0
// MounterClient: the front's end of the mounter: each call becomes a record, and ends with the
// answer to it, or when the mounter is gone. Lives on the reactor's thread; owned by the service.
#pragma once

#include "core/event.hpp"
#include "core/fd.hpp"
#include "core/reactor.hpp"
#include "plugins/core/inspector.hpp"
#include "plugins/core/mounter.hpp"
#include "plugins/mounter/protocol.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>

#include <coroutine>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::plugins::mounter {

class MounterClient final : public Mounter, public Inspector {
public:
    struct Events {
        /// A keeper ended that nobody had told to.
        std::function<void(const VolumeKey&, WorkerId, Ended)> ended;
        /// Before that, or before stop() ends: what its keeper recorded of connections and was not
        /// asked before, as JSON; empty when it did not say.
        std::function<void(const VolumeKey&, WorkerId, std::string_view)> connections;
        /// The keeper of a live mount was killed, or another one is in its place.
        std::function<void(const VolumeKey&, KeeperNews, std::string)> keeper;
        /// The mounter is gone: nothing can be mounted any more.
        std::function<void()> gone;
    };

    /// `root` is mounts.root.
    MounterClient(core::Reactor& reactor, core::Fd mounter, std::string root);
    MounterClient(const MounterClient&) = delete;
    MounterClient& operator=(const MounterClient&) = delete;
    /// REQUIRES: the reactor has ended, or no call is under way.
    ~MounterClient() override;

    bool is_gone() const noexcept { return life_ == Life::gone; }

    /// Begins to read; to be called once, before the first call.
    void listen(Events events);

    core::Task<core::Outcome<Worker>> start(
        MountSpec spec, core::SteadyTime deadline, std::stop_token unwanted
    ) override;
    core::Task<core::Outcome<Ended>> stop(
        VolumeKey volume, Worker worker, core::SteadyTime deadline
    ) override;
    core::Task<core::Outcome<void>> detach(
        VolumeKey volume, Worker worker, core::SteadyTime flush_deadline
    ) override;
    core::Task<core::Outcome<Worker>> adopt(VolumeKey volume, LiveRecord record) override;

    core::Task<core::Outcome<std::string>> status(
        VolumeKey volume, Worker worker, std::uint64_t written, core::SteadyTime deadline
    ) override;
    core::Task<core::Outcome<void>> set_log_level(
        VolumeKey volume, Worker worker, std::string level, core::SteadyTime deadline
    ) override;
    core::Task<core::Outcome<std::vector<std::string>>> deny(
        VolumeKey volume, Worker worker, std::string reason, core::SteadyTime deadline
    ) override;
    core::Task<core::Outcome<void>> allow(
        VolumeKey volume, Worker worker, core::SteadyTime deadline
    ) override;

    /// The mounter reads its configuration again. A failure says what is wrong with it.
    core::Task<core::Outcome<void>> reload();

private:
    struct Call {
        std::optional<Reply> reply;
        std::coroutine_handle<> waiter;
    };
    using RequestPtr = std::unique_ptr<Request>;

    static RequestPtr make_request(Verb verb, const VolumeKey& volume, core::SteadyTime deadline);
    static RequestPtr make_request(
        Verb verb, const VolumeKey& volume, const Worker& worker, core::SteadyTime deadline
    );
    /// What the mounter refuses is a failure.
    core::Task<core::Outcome<Reply>> call(RequestPtr request, std::stop_token unwanted = {});
    core::Task<core::Outcome<void>> carry_out(RequestPtr request);
    Worker worker_of(const VolumeKey& volume, const Reply& reply);
    void forget(std::string_view directory, WorkerId worker);

    void wait_readable();
    void read_all();
    void take(const Reply& reply);
    void send(RequestPtr request);
    void write_all();
    void end();

    core::Reactor& reactor_;
    std::string root_;
    boost::asio::posix::stream_descriptor socket_;
    core::Semaphore adopting_;
    Events events_;
    enum class Life { serving, gone } life_ = Life::serving;
    enum class Writing { idle, waits } writing_ = Writing::idle;
    std::uint64_t next_id_ = 1;
    std::map<std::uint64_t, Call*> calls_;
    std::deque<RequestPtr> queue_;
    struct Known {
        VolumeKey volume;
        std::vector<WorkerId> workers;  // more than one while an older one still flushes
    };
    std::map<std::string, Known, std::less<>> known_;  // by directory
    std::shared_ptr<void> alive_ = std::make_shared<int>();
};

}  // namespace uidnfs::plugins::mounter
