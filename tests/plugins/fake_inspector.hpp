// SPDX-License-Identifier: Apache-2.0
// An inspector of workers that do not exist: answers what a test put there, from the loop; a
// volume "mute" is silent until the deadline.
#pragma once

#include "core/reactor.hpp"
#include "plugins/core/inspector.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace uidnfs::plugins::testing {

class FakeInspector final : public Inspector {
public:
    explicit FakeInspector(core::Reactor& reactor) : reactor_(reactor) {}

    std::map<std::string, std::string> answers;  ///< by volume; others are healthy
    std::vector<std::string> asked;              ///< in order
    std::vector<std::uint64_t> written_told;     ///< with each of them
    std::map<std::string, std::string> levels;
    core::SteadyDuration takes = std::chrono::milliseconds(1);
    std::size_t at_once = 0;  ///< at most

    core::Task<core::Outcome<std::string>> status(
        VolumeKey volume, Worker worker, std::uint64_t written, core::SteadyTime deadline
    ) override {
        asked.push_back(volume.name);
        written_told.push_back(written);
        at_once = std::max(at_once, ++asking_);
        const auto end = std::chrono::steady_clock::now() + takes;
        co_await reactor_.sleep_until(volume.name == "mute" ? deadline : end);
        --asking_;
        if (volume.name == "mute") co_return core::Failure{ETIMEDOUT, "no answer in time"};
        if (worker.id.pid == 0) co_return core::Failure{ESRCH, "its worker is gone"};
        const auto found = answers.find(volume.name);
        if (found != answers.end()) co_return found->second;
        co_return std::string(R"({"state":"healthy","reason":""})");
    }

    core::Task<core::Outcome<void>> set_log_level(
        VolumeKey volume, Worker, std::string level, core::SteadyTime deadline
    ) override {
        if (volume.name == "mute") {
            co_await reactor_.sleep_until(deadline);
            co_return core::Failure{ETIMEDOUT, "no answer in time"};
        }
        if (level == "loud") {
            co_return core::Failure{EINVAL, "there is no log level \"loud\"; use debug"};
        }
        levels[volume.name] = level;
        co_return core::Outcome<void>();
    }

    std::map<std::string, std::string> denied;  ///< volume to reason
    std::vector<std::string> orders;            ///< "deny a", "allow a", also those that failed
    std::vector<std::string> lost;              ///< what a denial answers
    std::size_t failing = 0;                    ///< so many orders are not answered

    core::Task<core::Outcome<std::vector<std::string>>> deny(
        VolumeKey volume, Worker, std::string reason, core::SteadyTime
    ) override {
        orders.push_back("deny " + volume.name);
        co_await reactor_.sleep_for(takes);
        if (failing > 0 && failing-- > 0) co_return core::Failure{ETIMEDOUT, "no answer in time"};
        denied[volume.name] = reason;
        co_return lost;
    }

    core::Task<core::Outcome<void>> allow(VolumeKey volume, Worker, core::SteadyTime) override {
        orders.push_back("allow " + volume.name);
        co_await reactor_.sleep_for(takes);
        if (failing > 0 && failing-- > 0) co_return core::Failure{ETIMEDOUT, "no answer in time"};
        denied.erase(volume.name);
        co_return core::Outcome<void>();
    }

private:
    core::Reactor& reactor_;
    std::size_t asking_ = 0;
};

}  // namespace uidnfs::plugins::testing
