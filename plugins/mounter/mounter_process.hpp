// SPDX-License-Identifier: Apache-2.0
// MounterProcess: the part of uidnfsd that is root. It checks every mount against the policy that
// it read itself, starts `uidnfs mount` for it, and watches the keepers. It reads records of fixed
// size from the front, and nothing from the network. One thread; ends when the front does, and
// leaves the mounts alone then.
#pragma once

#include "control/spawn.hpp"
#include "core/fd.hpp"
#include "core/reactor.hpp"
#include "core/task.hpp"
#include "plugins/mounter/mount_check.hpp"
#include "plugins/mounter/protocol.hpp"
#include "plugins/mounter/watched.hpp"
#include "plugins/mounter/worker_groups.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

namespace uidnfs::plugins::mounter {

class MounterProcess {
public:
    struct Options {
        std::string root;                 ///< mounts.root
        std::string worker_user;          ///< who workers and the resolver of names become
        std::uint64_t worker_memory = 0;  ///< bytes, of one worker
        std::string recovery;             ///< directory; empty: the default of uidnfs
        std::string uidnfs;               ///< path of that program
        std::vector<std::string>
            names;  ///< program and arguments that resolve the name behind them
        std::function<core::Outcome<Allowed>()> load;  ///< reads the configuration
    };

    MounterProcess(core::Fd front, Options options);
    MounterProcess(const MounterProcess&) = delete;
    MounterProcess& operator=(const MounterProcess&) = delete;

    /// EPERM, ...: mounts.root cannot be used, or the configuration is wrong.
    core::Outcome<void> prepare();
    /// Until the front ends.
    void run();

private:
    using Addresses = std::vector<policy::Address>;
    struct Ran {
        bool succeeded = false;
        bool in_time = false;
        std::optional<int> exit_status = {};
        std::string output = {};
    };

    core::Task<> serve();
    core::Task<> read_front();
    void take(const Request& request);
    core::Task<> answer(Request request);

    core::Task<Reply> start(const Request& request, std::stop_token unwanted);
    std::optional<Reply> find_obstacle(const std::string& directory) const;
    std::string make_group(const std::string& directory, const Checked& checked);
    core::Task<Reply> mount(
        Checked checked,
        std::string directory,
        Addresses addresses,
        core::SteadyTime deadline,
        std::stop_token unwanted
    );
    core::Task<Reply> stop(const Request& request);
    core::Task<Reply> adopt(const Request& request);
    core::Task<Reply> ask(const Request& request, control::Message question);
    Reply detach(const Request& request);
    Reply reload();

    core::Task<core::Outcome<Addresses>> resolve(
        std::string host, core::SteadyTime deadline, std::stop_token unwanted
    );
    core::Task<Ran> run_program(
        control::Program program, core::SteadyTime deadline, std::stop_token unwanted
    );
    core::Task<core::Result<control::Message>> ask_keeper(
        const Watched& watched, control::Message question, core::SteadyTime deadline
    );
    core::Task<> undo(std::string directory);
    core::Task<> reap(control::Child child);

    // workers.write_behind_total is shared out
    std::uint64_t write_behind_share() const noexcept;
    void share_out_soon();
    core::Task<> share_out();

    // Keepers (mounter_keepers.cpp)
    enum class MayGive { yes, no };
    struct Found {
        core::Result<std::shared_ptr<Watched>> watched;
        bool is_new = false;  ///< the one before it was killed
    };
    void begin_watch(const std::shared_ptr<Watched>& watched);
    core::Task<> watch_until_end(std::shared_ptr<Watched> watched);
    core::Task<std::optional<control::Message>> hear_last_word(std::shared_ptr<Watched> watched);
    void ended(
        const std::shared_ptr<Watched>& watched, const std::optional<control::Message>& last_word
    );
    core::Task<bool> replace_keeper(std::shared_ptr<Watched> watched);
    core::Task<core::Result<std::shared_ptr<Watched>>> give_keeper(
        std::string directory, std::uint32_t minor, std::shared_ptr<Watched> killed
    );
    core::Task<Found> find_keeper(std::string directory, std::uint32_t minor, MayGive may_give);
    core::Task<WorkerId> mount_of(const Watched& watched);
    core::Task<> wait_for_keeper(std::shared_ptr<Watched> watched, core::SteadyTime deadline);
    void tell_of_keeper(const Watched& watched, Kind kind, std::string_view text);
    std::shared_ptr<Watched> find(const Request& request) const;

    std::string path_of(std::string_view directory) const;
    void remove_directory(std::string_view directory) const;
    void remove_left_over() const;
    void send(const Reply& reply);

    core::Reactor reactor_;
    core::Fd front_;
    Options options_;
    core::Fd root_;  // mounts.root, locked: two mounters would undo each other's work
    Allowed allowed_;
    control::MountTable mounts_;
    std::map<std::string, std::shared_ptr<Watched>> watched_;  // by directory
    struct Start {
        std::uint64_t id;
        std::stop_source stop;
    };
    struct Name {
        Addresses addresses;
        core::SteadyTime until;
    };
    std::map<std::string, Name> names_;    // asked a moment ago: many volumes are on one server
    std::set<std::string> asking_;         // names that a child is asking for
    std::set<std::string> adopting_;       // directories whose keepers are being found
    std::map<std::string, Start> starts_;  // by directory: what is under way there
    WorkerGroups groups_;
    enum class Sharing { idle, planned } sharing_ = Sharing::idle;
    std::size_t calls_ = 0;    // requests that are not answered yet
    std::size_t keepers_ = 0;  // that live, also those of detached mounts
};

}  // namespace uidnfs::plugins::mounter
