// SPDX-License-Identifier: Apache-2.0
#include "nfs/mount_text.hpp"

#include "nfs/mount3.hpp"
#include "nfs/rpc/status.hpp"
#include "nfs/v3/status.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace uidnfs::nfs {
namespace {

std::string_view name_of(Service service) {
    switch (service) {
        case Service::portmapper: return "portmapper";
        case Service::mount: return "MOUNT service";
        case Service::nfs: return "NFS service";
    }
    return "service";
}

std::string_view start_it(Service service) {
    switch (service) {
        case Service::portmapper: return "start rpcbind on the server or give mountport=";
        case Service::mount: return "check that the server runs and mountport= is right";
        case Service::nfs: return "check that the server runs and port= is right";
    }
    return "check the server";
}

std::string_view remedy_of_garbage(Service service) {
    switch (service) {
        case Service::portmapper: return "check the address, or give mountport=";
        case Service::mount: return "check that mountport= is the server's MOUNT port";
        case Service::nfs: return "check that port= is the server's NFS port";
    }
    return "check the server";
}

std::string_view version_of(Service service) {
    return service == Service::portmapper ? "this version" : "version 3";
}

}  // namespace

Weight weight_of(const core::Failure& failure) noexcept {
    switch (failure.code) {
        case ECONNREFUSED:
        case EHOSTUNREACH:
        case EHOSTDOWN:
        case ENETUNREACH:
        case ENETDOWN:
        case EADDRNOTAVAIL:
        case EAFNOSUPPORT:
        case ECONNRESET:
        case EPIPE:
        case ETIMEDOUT: return Weight::address;
        // Exported to our IPv4 address only; registered with rpcbind for one family only.
        case EACCES:
        case ENOTSUP:
        // Something else answers there.
        case EPROTO: return Weight::refusal;
        default: return Weight::server;
    }
}

core::Failure MountText::make(int code, std::string why, std::string_view what_to_do) const {
    auto text = fmt::format("{}; {}", why, what_to_do);
    if (form_ == Form::whole) text = fmt::format("cannot mount {}: {}", target_.display(), text);
    return {code, std::move(text)};
}

core::Failure MountText::unknown_host(const std::string& host, const core::Error& error) const {
    switch (error.code()) {
        case ENOENT:
            return make(
                ENOENT,
                fmt::format("the host {} is unknown", host),
                "check its name, /etc/hosts and DNS"
            );
        case EAGAIN:
        case ETIMEDOUT:
            return make(
                error.code(),
                fmt::format("the name {} could not be resolved in time", host),
                "check DNS or use an address"
            );
        default:
            return make(
                error.code(),
                fmt::format("the name {} could not be resolved ({})", host, core::to_string(error)),
                "check DNS or use an address"
            );
    }
}

core::Failure MountText::unanswered(
    Service service, const rpc::Endpoint& endpoint, const core::Error& error
) const {
    const auto who = fmt::format("{} ({})", rpc::to_string(endpoint), name_of(service));
    auto failure = [&] {
        switch (error.source()) {
            case core::ErrorSource::mount: return refused_by_export(error);
            case core::ErrorSource::rpc: return refused_call(who, service, error);
            case core::ErrorSource::protocol:
                return make(
                    EPROTO, fmt::format("{} answers with garbage", who), remedy_of_garbage(service)
                );
            case core::ErrorSource::nfs:
                if (v3::is_status(error, v3::Status::jukebox)) return put_off(who);
                return make(
                    error.code(),
                    fmt::format(
                        "the server refused the export's root ({})", core::to_string(error)
                    ),
                    "check the export and its permissions on the server"
                );
            case core::ErrorSource::local:
            case core::ErrorSource::socket:
            case core::ErrorSource::portmap: return unreachable(who, service, error);
        }
        return unreachable(who, service, error);
    }();
    failure.operator_text = fmt::format("{}: {}", who, core::to_string(error));
    return failure;
}

core::Failure MountText::refused_by_export(const core::Error& error) const {
    switch (static_cast<mount3::Status>(error.detail())) {
        case mount3::Status::noent:
        case mount3::Status::notdir:
            return make(
                error.code(),
                "the server has no such export",
                fmt::format("check the path and the export list (showmount -e {})", target_.host)
            );
        case mount3::Status::perm:
        case mount3::Status::acces:
            return make(
                EACCES,
                "the server refused the mount (not exported to this host)",
                fmt::format("check the export list of {}", target_.host)
            );
        case mount3::Status::nametoolong: return path_too_long();
        case mount3::Status::ok:
        case mount3::Status::io:
        case mount3::Status::inval:
        case mount3::Status::notsupp:
        case mount3::Status::serverfault: break;
    }
    return make(
        error.code(),
        fmt::format("the server failed to mount it ({})", core::to_string(error)),
        fmt::format("look into the log of {}", target_.host)
    );
}

core::Failure MountText::put_off(const std::string& who) const {
    return make(
        ETIMEDOUT,
        fmt::format("{} puts every call off (NFS3ERR_JUKEBOX)", who),
        "wait until it has started or has its files back, or look into its log"
    );
}

core::Failure MountText::refused_call(
    const std::string& who, Service service, const core::Error& error
) const {
    const auto fault = static_cast<rpc::Fault>(error.detail());
    switch (fault) {
        case rpc::Fault::program_unavailable:
            return make(
                error.code(), fmt::format("{} does not have this program", who), start_it(service)
            );
        case rpc::Fault::program_mismatch:
            return make(
                error.code(),
                fmt::format("{} does not speak {}", who, version_of(service)),
                service == Service::portmapper ? remedy_of_garbage(service)
                                               : "enable NFS version 3 on the server"
            );
        case rpc::Fault::rpc_mismatch:
            return make(
                error.code(), fmt::format("{} does not speak RPC version 2", who), start_it(service)
            );
        case rpc::Fault::procedure_unavailable:
        case rpc::Fault::garbage_arguments:
        case rpc::Fault::system_error:
            return make(
                error.code(),
                fmt::format("{}: {}", who, rpc::describe(fault)),
                fmt::format("look into the log of {}", target_.host)
            );
        case rpc::Fault::auth_too_weak:
            return make(
                error.code(),
                fmt::format("{} wants stronger security than sec=sys (krb5)", who),
                "allow sec=sys for this export on the server, and connections from this source port"
            );
        case rpc::Fault::auth_bad_credential:
        case rpc::Fault::auth_rejected_credential:
        case rpc::Fault::auth_bad_verifier:
        case rpc::Fault::auth_rejected_verifier:
        case rpc::Fault::auth_invalid_response:
        case rpc::Fault::auth_failed:
        case rpc::Fault::auth_other: break;
    }
    return make(
        error.code(),
        fmt::format("{} refused our identity ({})", who, rpc::describe(fault)),
        "check which identities and source ports the server accepts"
    );
}

core::Failure MountText::unreachable(
    const std::string& who, Service service, const core::Error& error
) const {
    switch (error.code()) {
        case ECONNREFUSED:
            return make(
                ECONNREFUSED, fmt::format("connection refused by {}", who), start_it(service)
            );
        case EHOSTUNREACH:
        case ENETUNREACH:
            return make(
                error.code(),
                fmt::format("no route to {}", who),
                "check the network and the address"
            );
        case ETIMEDOUT:
            return make(
                ETIMEDOUT,
                fmt::format("{} does not answer", who),
                service == Service::portmapper
                    ? "check the server and firewalls, or give mountport="
                    : "check the server and firewalls"
            );
        case ECONNRESET:
        case EPIPE:
            return make(
                error.code(),
                fmt::format("{} closed the connection", who),
                "check that it serves this host, and its log"
            );
        default:
            return make(
                error.code(),
                fmt::format("no connection to {} ({})", who, core::to_string(error)),
                start_it(service)
            );
    }
}

core::Failure MountText::not_registered(Service service, const rpc::Endpoint& portmapper) const {
    const bool is_nfs = service == Service::nfs;
    return make(
        ENOTSUP,
        fmt::format(
            "the portmapper {} knows no {} version 3 over TCP",
            rpc::to_string(portmapper),
            is_nfs ? "NFS" : "MOUNT"
        ),
        is_nfs ? "start the NFS server, enable version 3 there, or give port="
               : "start the NFS server, enable version 3 there, or give mountport="
    );
}

core::Failure MountText::wrong_security(const std::string& offered) const {
    return make(
        EACCES,
        fmt::format("the export offers only sec={}, uidnfs speaks sec=sys", offered),
        "allow sys for this export on the server"
    );
}

core::Failure MountText::root_not_directory() const {
    return make(ENOTDIR, "the export is not a directory", "mount its directory");
}

core::Failure MountText::root_not_readable(const mapper::Credential& credential, const Attr& root)
    const {
    return make(
        EACCES,
        fmt::format(
            "its root is not readable for {} (mode {:04o}, owner {}:{})",
            credential.describe(),
            root.mode,
            root.uid.value(),
            root.gid.value()
        ),
        "grant access on the server, or use another uid= and gid="
    );
}

core::Failure MountText::path_too_long() const {
    return make(
        ENAMETOOLONG,
        fmt::format("the path has more than {} bytes", mount3::kMaxPathBytes),
        "export a directory with a shorter path"
    );
}

}  // namespace uidnfs::nfs
