// SPDX-License-Identifier: Apache-2.0
#include "nfs/mount.hpp"

#include "core/clock.hpp"
#include "core/log.hpp"
#include "nfs/mount3.hpp"
#include "nfs/mount_text.hpp"
#include "nfs/portmap.hpp"
#include "nfs/rpc/reach.hpp"
#include "nfs/rpc/resolver.hpp"
#include "nfs/rpc/transport.hpp"
#include "nfs/v3/client.hpp"
#include "nfs/v3/client_state.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

namespace uidnfs::nfs {
namespace {

using namespace std::chrono_literals;
using Addresses = std::vector<rpc::Address>;

rpc::Patience patience_of(const MountParameters& parameters) {
    const auto give_up = [&] {
        switch (parameters.recovery) {
            case Recovery::hard: return rpc::GiveUp::never;
            case Recovery::soft: return rpc::GiveUp::with_eio;
            case Recovery::softerr: return rpc::GiveUp::with_etimedout;
        }
        return rpc::GiveUp::never;
    }();
    return {give_up, std::max(parameters.timeo, 1u) * 100ms, parameters.retrans};
}

std::function<void(const MountParameters&)> terms_of(v3::Client3& client) {
    return [&client](const MountParameters& parameters) {
        client.transport().set_terms(
            patience_of(parameters), rpc::ConnectionOptions::Persistence::forever
        );
        if (parameters.put_off) client.transport().limit_put_off(*parameters.put_off);
    };
}

/// One mount_export(): what its steps have in common. Lives in that coroutine's frame.
class Mounting {
public:
    Mounting(
        core::Reactor& reactor,
        const Target& target,
        const MountParameters& parameters,
        const mapper::CredentialRef& credential
    )
        : reactor_(reactor),
          target_(target),
          parameters_(parameters),
          credential_(credential),
          text_(target),
          end_(core::now() + patience_of(parameters).total()),
          deadline_(end_) {}

    core::Task<core::Outcome<Addresses>> find_server() const;
    core::Task<core::Outcome<Addresses>> resolve(std::string host) const;
    /// The first of them that can be reached in front.
    core::Task<Addresses> nearest_first(Addresses servers) const;
    /// `addresses` are left to be tried: each has an equal part of the time that is left.
    void begin_address(std::size_t addresses) {
        deadline_ = core::now() + (end_ - core::now()) / std::max<std::size_t>(addresses, 1);
    }
    /// All the way over one address of the server.
    core::Task<core::Outcome<MountedExport>> over(rpc::Address server, Addresses mount_hosts);

private:
    core::Task<core::Outcome<rpc::Endpoint>> find(
        Service service, std::uint32_t program, rpc::Address host
    );
    core::Task<core::Outcome<mount3::Export>> ask_mount_service(rpc::Endpoint service);
    core::Task<core::Outcome<MountedExport>> use_nfs_service(
        rpc::Endpoint service, rpc::Endpoint mount_service, mount3::Export answer
    ) const;
    core::Task<core::Outcome<MountedExport>> check(
        std::unique_ptr<v3::Client3> client, rpc::Endpoint service
    ) const;

    rpc::Patience remaining_patience() const;
    rpc::TransportOptions options_for(const rpc::Endpoint& server) const;

    core::Reactor& reactor_;
    const Target& target_;
    const MountParameters& parameters_;
    const mapper::CredentialRef& credential_;
    MountText text_;
    core::SteadyTime end_;       // of all
    core::SteadyTime deadline_;  // of the address that is tried
    rpc::PortNotice port_notice_ = rpc::PortNotice::due;
};

/// Each step has what the steps before it have left.
rpc::Patience Mounting::remaining_patience() const {
    const auto left = std::max<core::SteadyDuration>(deadline_ - core::now(), 1ms);
    return {rpc::GiveUp::with_etimedout, left, 0};
}

rpc::TransportOptions Mounting::options_for(const rpc::Endpoint& server) const {
    rpc::TransportOptions options;
    options.server_name = target_.host;
    options.connection.server = server;
    options.connection.source = parameters_.source_port;
    options.connection.patience = remaining_patience();
    options.connection.persistence = rpc::ConnectionOptions::Persistence::once;
    options.port_notice = port_notice_;
    options.on_connection = parameters_.on_connection;
    return options;
}

core::Task<core::Outcome<Addresses>> Mounting::find_server() const {
    Addresses given;
    for (const auto& text : parameters_.addresses) {
        boost::system::error_code error;
        const auto address = boost::asio::ip::make_address(text, error);
        if (error) co_return text_.unknown_host(text, core::Error(EINVAL));
        given.push_back(address);
    }
    if (!given.empty()) co_return given;
    auto resolving = resolve(target_.host);
    co_return co_await resolving;
}

core::Task<core::Outcome<Addresses>> Mounting::resolve(std::string host) const {
    auto resolving = rpc::resolve(reactor_, host, deadline_);
    auto addresses = co_await resolving;
    if (!addresses) co_return text_.unknown_host(host, addresses.error());
    co_return std::move(*addresses);
}

core::Task<Addresses> Mounting::nearest_first(Addresses servers) const {
    const auto port = parameters_.port ? parameters_.port : portmap::kPort;
    const auto patience = (end_ - core::now()) / 4;
    auto racing = rpc::nearest_first(reactor_, std::move(servers), port, core::now() + patience);
    co_return co_await racing;
}

core::Task<core::Outcome<rpc::Endpoint>> Mounting::find(
    Service service, std::uint32_t program, rpc::Address host
) {
    const rpc::Endpoint portmapper(host, portmap::kPort);
    rpc::Transport transport(reactor_, options_for(portmapper));
    auto asking = portmap::get_port(transport, *credential_, program, 3);
    const auto port = co_await asking;
    port_notice_ = transport.port_notice();
    if (!port) co_return text_.unanswered(Service::portmapper, portmapper, port.error());
    if (*port == 0) co_return text_.not_registered(service, portmapper);
    co_return rpc::Endpoint(host, *port);
}

core::Task<core::Outcome<mount3::Export>> Mounting::ask_mount_service(rpc::Endpoint service) {
    rpc::Transport transport(reactor_, options_for(service));
    auto asking = mount3::mount(transport, *credential_, target_.export_path);
    auto answer = co_await asking;
    port_notice_ = transport.port_notice();
    if (!answer) co_return text_.unanswered(Service::mount, service, answer.error());
    if (!mount3::allows_sys(*answer)) {
        co_return text_.wrong_security(mount3::describe_flavours(answer->flavours));
    }
    if (mount3::ignores_identity(*answer)) {
        core::log::warning(
            "{} is exported with sec=none: the server ignores uid= and gid= there",
            target_.display()
        );
    }
    co_return std::move(*answer);
}

core::Task<core::Outcome<MountedExport>> Mounting::use_nfs_service(
    rpc::Endpoint service, rpc::Endpoint mount_service, mount3::Export answer
) const {
    auto options = options_for(service);
    options.connections = std::clamp(parameters_.nconnect, 1u, 16u);
    v3::Client3::Deps deps;
    deps.transport = std::make_unique<rpc::Transport>(reactor_, options);
    deps.root = answer.root;
    deps.sizes = {parameters_.rsize, parameters_.wsize};
    deps.notice = {
        target_.host,
        mount_service,
        answer.path,
        parameters_.source_port,
        parameters_.on_connection};
    auto client = std::make_unique<v3::Client3>(std::move(deps));
    auto* const borrowed = client.get();

    auto checking = check(std::move(client), service);
    auto mounted = co_await checking;
    if (mounted) {
        borrowed->set_root_attr(mounted->root_attr);
        mounted->set_terms = terms_of(*borrowed);
        mounted->set_terms(parameters_);
    }
    co_return std::move(mounted);
}

core::Task<core::Outcome<MountedExport>> Mounting::check(
    std::unique_ptr<v3::Client3> client, rpc::Endpoint service
) const {
    const CallContext context{credential_};
    MountedExport mounted;
    std::optional<core::Failure> failure;

    auto pinging = client->null(context);
    if (const auto pinged = co_await pinging; !pinged) {
        failure = text_.unanswered(Service::nfs, service, pinged.error());
    }
    if (!failure) {
        auto asking = client->fsinfo(context, client->root());
        const auto info = co_await asking;
        if (info) {
            client->set_fs_info(*info);
        } else {
            failure = text_.unanswered(Service::nfs, service, info.error());
        }
    }
    if (!failure) {
        auto opening = client->open(context, client->root(), kAccessAll);
        const auto root = co_await opening;
        if (!root) {
            failure = text_.unanswered(Service::nfs, service, root.error());
        } else if (root->attr.type != FileType::directory) {
            failure = text_.root_not_directory();
        } else if (parameters_.root_access == MountParameters::RootAccess::needed && !(root->granted & (kAccessRead | kAccessLookup))) {
            failure = text_.root_not_readable(*credential_, root->attr);
        } else {
            mounted.root_attr = root->attr;
            mounted.root_access = root->granted;
        }
    }
    if (failure) {
        auto ending = client->shutdown(context);
        co_await ending;
        co_return std::move(*failure);
    }
    mounted.server_address = rpc::to_string(service);
    mounted.client = std::move(client);
    co_return std::move(mounted);
}

core::Task<core::Outcome<MountedExport>> Mounting::over(
    rpc::Address server, Addresses mount_hosts
) {
    std::optional<core::Failure> failure;
    for (const auto& mount_host : mount_hosts) {
        rpc::Endpoint mount_service(mount_host, parameters_.mount_port);
        if (mount_service.port() == 0) {
            auto finding = find(Service::mount, mount3::kProgram, mount_host);
            const auto found = co_await finding;
            if (!found) {
                failure = found.error();
                continue;
            }
            mount_service = *found;
        }
        rpc::Endpoint nfs_service(server, parameters_.port);
        if (nfs_service.port() == 0) {
            auto finding = find(Service::nfs, v3::kNfsProgram, server);
            const auto found = co_await finding;
            if (!found) co_return found.error();
            nfs_service = *found;
        }
        auto asking = ask_mount_service(mount_service);
        auto answer = co_await asking;
        if (!answer) {
            failure = answer.error();
            continue;
        }
        auto using_it = use_nfs_service(nfs_service, mount_service, std::move(*answer));
        auto mounted = co_await using_it;
        co_return std::move(mounted);
    }
    co_return std::move(*failure);
}

}  // namespace

std::string Target::display() const {
    const bool is_v6 = host.find(':') != std::string::npos;
    return is_v6 ? "[" + host + "]:" + export_path : host + ":" + export_path;
}

core::Task<core::Outcome<MountedExport>> mount_export(
    core::Reactor& reactor,
    Target target,
    MountParameters parameters,
    mapper::CredentialRef credential
) {
    if (target.export_path.size() > mount3::kMaxPathBytes) {
        co_return MountText(target).path_too_long();
    }
    Mounting mounting(reactor, target, parameters, credential);
    auto resolving = mounting.find_server();
    const auto servers = co_await resolving;
    if (!servers) co_return servers.error();
    Addresses mount_hosts;
    if (!parameters.mount_host.empty()) {
        auto resolving_mount_host = mounting.resolve(parameters.mount_host);
        auto resolved = co_await resolving_mount_host;
        if (!resolved) co_return resolved.error();
        mount_hosts = std::move(*resolved);
    }

    auto racing = mounting.nearest_first(*servers);
    const auto ordered = co_await racing;
    std::optional<core::Failure> told;  // the failure that says most
    for (std::size_t i = 0; i < ordered.size(); ++i) {
        mounting.begin_address(ordered.size() - i);
        const auto& server = ordered[i];
        auto trying =
            mounting.over(server, parameters.mount_host.empty() ? Addresses{server} : mount_hosts);
        auto mounted = co_await trying;
        if (mounted) co_return std::move(*mounted);
        const auto weight = weight_of(mounted.error());
        if (!told || weight > weight_of(*told)) told = mounted.error();
        if (weight == Weight::server) break;
        core::log::debug("{}", mounted.error().user_text);
    }
    co_return std::move(*told);
}

core::Outcome<MountedExport> resume_export(
    core::Reactor& reactor,
    const Target& target,
    const MountParameters& parameters,
    std::span<const std::byte> state
) {
    const auto found = v3::decode_client_state(state);
    if (!found) {
        return core::Failure{
            EPROTO,
            "what the worker before knew of the server cannot be read; unmount and mount again"};
    }
    rpc::TransportOptions options;
    options.server_name = target.host;
    options.connection.server = found->server;
    options.connection.source = parameters.source_port;
    options.connection.patience = patience_of(parameters);
    options.connections = static_cast<std::uint32_t>(found->ports.size());
    options.source_ports = found->ports;
    options.on_connection = parameters.on_connection;
    v3::Client3::Deps deps;
    deps.transport = std::make_unique<rpc::Transport>(reactor, options);
    deps.root = found->root;
    deps.sizes = {parameters.rsize, parameters.wsize};
    deps.notice = {
        target.host,
        found->mount_service,
        target.export_path,
        parameters.source_port,
        parameters.on_connection};
    auto client = std::make_unique<v3::Client3>(std::move(deps));
    client->set_fs_info(found->fs_info);
    client->set_root_attr(found->root_attr);
    MountedExport mounted;
    mounted.root_attr = found->root_attr;
    mounted.server_address = rpc::to_string(found->server);
    mounted.set_terms = terms_of(*client);
    mounted.set_terms(parameters);
    mounted.client = std::move(client);
    return mounted;
}

}  // namespace uidnfs::nfs
