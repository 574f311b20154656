// SPDX-License-Identifier: Apache-2.0
// A mounter that mounts nothing and can be told to be slow, to fail or to hang, by the host of the
// source: "slow-500" takes 500 ms, "refuse" fails, "hang" ends when it is unwanted or late, "deaf"
// does not even hear that it is unwanted and then succeeds; of "busy" a stop never succeeds, and
// "used" is used on behind it.
#pragma once

#include "core/reactor.hpp"
#include "plugins/core/mounter.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace uidnfs::plugins::testing {

class FakeMounter final : public Mounter {
public:
    explicit FakeMounter(core::Reactor& reactor) : reactor_(reactor) {}

    std::map<VolumeKey, Worker> mounts;    ///< in the host's mounts
    std::map<VolumeKey, Worker> detached;  ///< only flushing
    std::set<VolumeKey> lost;              ///< adopt() does not find these
    std::vector<std::string> calls;

    /// As kill -9 of the worker would be seen.
    Worker kill(const VolumeKey& key) {
        auto& where = mounts.contains(key) ? mounts : detached;
        const auto worker = where.at(key);
        detached.erase(key);
        return worker;
    }

    core::Task<core::Outcome<Worker>> start(
        MountSpec spec, core::SteadyTime deadline, std::stop_token unwanted
    ) override {
        calls.push_back("start " + spec.volume.name);
        const Busy busy(*this);
        const auto host = spec.source.substr(0, spec.source.find(':'));
        const Worker worker{
            {++pid_, 7},
            "/var/lib/uidnfs/volumes/" + spec.directory,
            "/run/uidnfs/x.sock",
            "rule 1"};
        if (host == "refuse") {
            co_return core::Failure{
                EACCES,
                fmt::format(
                    "cannot mount {}: the server refused the mount (not exported to this host); "
                    "check the export list of {}",
                    spec.source,
                    host
                )};
        }
        if (host.starts_with("slow-")) {
            const auto time = std::chrono::milliseconds(std::atoi(host.c_str() + 5));
            co_await reactor_.sleep_for(time);
        }
        while (host == "hang" && !unwanted.stop_requested() &&
               std::chrono::steady_clock::now() < deadline) {
            co_await reactor_.sleep_for(std::chrono::milliseconds(2));
        }
        if (host == "hang") {
            co_return core::Failure{
                ETIMEDOUT,
                fmt::format("cannot mount {}: the server did not answer in time", spec.source)};
        }
        if (host == "deaf") {
            co_await reactor_.sleep_until(deadline + std::chrono::milliseconds(50));
        }
        mounts[spec.volume] = worker;
        sources_[spec.volume] = host;
        co_return worker;
    }

    core::Task<core::Outcome<Ended>> stop(VolumeKey volume, Worker, core::SteadyTime deadline)
        override {
        calls.push_back("stop " + volume.name);
        const Busy busy(*this);
        if (sources_[volume] == "busy") {
            co_await reactor_.sleep_until(deadline);
            co_return core::Failure{ETIMEDOUT, "the server does not answer"};
        }
        if (sources_[volume] == "used") co_return core::Failure{EBUSY, "it is in use"};
        mounts.erase(volume);
        co_return Ended{};
    }

    core::Task<core::Outcome<void>> detach(VolumeKey volume, Worker worker, core::SteadyTime)
        override {
        calls.push_back("detach " + volume.name);
        mounts.erase(volume);
        detached[volume] = worker;
        co_return core::Outcome<void>();
    }

    core::Task<core::Outcome<Worker>> adopt(VolumeKey volume, LiveRecord record) override {
        calls.push_back("adopt " + volume.name);
        if (record.worker.id.pid == 0 || lost.contains(volume)) {
            co_return core::Failure{ESRCH, "its worker is gone; mount it again"};
        }
        if (record.phase == LiveRecord::Phase::detached) {
            detached[volume] = record.worker;
            co_return record.worker;
        }
        mounts[volume] = record.worker;
        co_return record.worker;
    }

    bool is_idle() const noexcept { return busy_ == 0; }

private:
    /// While a call has not ended.
    class Busy {
    public:
        explicit Busy(FakeMounter& mounter) : mounter_(mounter) { ++mounter_.busy_; }
        Busy(const Busy&) = delete;
        Busy& operator=(const Busy&) = delete;
        ~Busy() { --mounter_.busy_; }

    private:
        FakeMounter& mounter_;
    };

    core::Reactor& reactor_;
    int busy_ = 0;
    std::uint32_t pid_ = 1000;
    std::map<VolumeKey, std::string> sources_;
};

}  // namespace uidnfs::plugins::testing
