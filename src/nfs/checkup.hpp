// SPDX-License-Identifier: Apache-2.0
// Checkup: one check_export(). Lives in that coroutine's frame; reactor's thread only.
#pragma once

#include "nfs/check.hpp"
#include "nfs/mount3.hpp"
#include "nfs/mount_text.hpp"
#include "nfs/rpc/transport.hpp"
#include "nfs/v3/client.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace uidnfs::nfs {

class Checkup {
public:
    Checkup(
        core::Reactor& reactor,
        Target target,
        MountParameters parameters,
        mapper::CredentialRef credential,
        std::function<void(const CheckStep&)> report
    )
        : reactor_(reactor),
          target_(std::move(target)),
          parameters_(std::move(parameters)),
          credential_(std::move(credential)),
          text_(target_, MountText::Form::why),
          report_(std::move(report)) {}

    core::Task<bool> run(CheckWrite write);

private:
    core::Task<bool> resolve();
    core::Task<bool> connect();
    core::Task<bool> connect_to(rpc::Address address);
    core::Task<std::uint16_t> ask_portmapper(Service service, std::uint32_t program);
    /// All of the rest over one address, nfs_.
    core::Task<bool> use(CheckWrite write);
    core::Task<bool> mount();
    core::Task<bool> ask_for_export(rpc::Address host);
    core::Task<bool> look(CheckWrite write);
    core::Task<bool> ask_root(v3::Client3& client);
    core::Task<bool> make_file(v3::Client3& client);

    void tell(const char* name, CheckStep::Result result, std::string text);
    void fail(const char* name, const core::Failure& failure);
    rpc::TransportOptions options_for(const rpc::Endpoint& server) const;
    core::SteadyDuration patience() const {
        return std::max(parameters_.timeo, 1u) * std::chrono::milliseconds(100) *
               (parameters_.retrans + 1);
    }

    core::Reactor& reactor_;
    Target target_;
    MountParameters parameters_;
    mapper::CredentialRef credential_;
    MountText text_;
    std::function<void(const CheckStep&)> report_;
    std::vector<rpc::Address> addresses_;
    std::vector<rpc::Endpoint> answering_;
    rpc::Endpoint nfs_;               ///< the one of them that is looked at
    Weight weight_ = Weight::server;  ///< of what failed last
    rpc::Endpoint mount_service_;
    mount3::Export export_;
};

}  // namespace uidnfs::nfs
