// SPDX-License-Identifier: Apache-2.0
// The seams of the volume core: Mounter makes and ends mounts, Preparer says what to mount as whom,
// Observer hears of every decision. All are called on the reactor's thread and must not block it.
#pragma once

#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/task.hpp"
#include "plugins/core/definition.hpp"
#include "plugins/core/live_record.hpp"

#include <stop_token>
#include <string>

namespace uidnfs::plugins {

/// Each call ends exactly once, and not long after its deadline. A worker that ends otherwise than
/// in stop() is told to Volumes::worker_ended(), a detached one always, also after a failed stop().
class Mounter {
public:
    virtual ~Mounter() = default;

    /// Checks the policy on the final identity and source, makes the mount, starts its worker, and
    /// attaches it when it is ready. A failure leaves nothing behind. `unwanted`: end soon, with
    /// either result.
    virtual core::Task<core::Outcome<Worker>> start(
        MountSpec spec, core::SteadyTime deadline, std::stop_token unwanted
    ) = 0;

    /// Flushes, unmounts, ends. A failure: it has not ended, since it could not be done until
    /// `deadline`. EBUSY: its bytes are on the server, and somebody still uses it, here or in a
    /// container.
    virtual core::Task<core::Outcome<Ended>> stop(
        VolumeKey volume, Worker worker, core::SteadyTime deadline
    ) = 0;

    /// Takes the mount out of the host's mounts at once, whatever uses it. The worker goes on
    /// flushing until `flush_deadline`. Also for a mount whose worker is dead.
    virtual core::Task<core::Outcome<void>> detach(
        VolumeKey volume, Worker worker, core::SteadyTime flush_deadline
    ) = 0;

    /// After a restart of the daemon: proves that the worker of `record` is ours and watches it
    /// again. While `record` is mounting there is only its directory to go by. ESRCH: there is
    /// none.
    virtual core::Task<core::Outcome<Worker>> adopt(VolumeKey volume, LiveRecord record) = 0;
};

class Preparer {
public:
    virtual ~Preparer() = default;

    /// Options, credentials, directory: everything that can be said before the mounter is asked.
    virtual core::Task<core::Outcome<MountSpec>> prepare(
        VolumeKey volume,
        DefinitionPtr definition,
        core::SteadyTime deadline,
        std::stop_token unwanted
    ) = 0;
};

/// Of the keeper of a mount that goes on meanwhile.
enum class KeeperNews : std::uint8_t { lost, replaced };

/// One line for log and audit. Never holds a secret.
struct Decision {
    enum class Event {
        mount,
        refused,
        unmount,
        create,
        remove,
        worker_died,
        data_lost,
        not_saved,
        keeper_lost,      ///< it was killed; the mount goes on
        keeper_replaced,  ///< by another process
        abort,            ///< taken out of the mounts before all bytes were on the server
    };

    Event event;
    VolumeKey volume;
    std::string reference;  ///< the one that the caller was told; empty where nobody was
    std::string holder = {};
    std::string peer = {};  ///< who asked, as the connection knows it
    std::string source = {};
    MountIdentity identity = {};
    std::string text = {};           ///< why not, or what was lost
    std::string rule = {};           ///< of the policy, which allowed the mount
    Event asked = event;             ///< what was asked for, where `event` is refused
    int code = 0;                    ///< errno(3) of a refusal
    WorkerId worker = {};            ///< behind the mount; pid 0: none any more
    core::SteadyDuration took = {};  ///< from the question to its answer
};
std::string_view to_string(Decision::Event event) noexcept;

class Observer {
public:
    virtual ~Observer() = default;
    virtual void decided(const Decision& decision) = 0;
};

}  // namespace uidnfs::plugins
