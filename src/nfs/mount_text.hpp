// SPDX-License-Identifier: Apache-2.0
// What a person reads when a mount fails: "cannot mount nas1:/exports/a: why not; what to do".
// Pure.
#pragma once

#include "core/error.hpp"
#include "nfs/mount.hpp"
#include "nfs/rpc/endpoint.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::nfs {

/// Whom we were talking to.
enum class Service : std::uint8_t { portmapper, mount, nfs };

class MountText {
public:
    /// `why`: without "cannot mount ...: ", where nothing was to be mounted.
    enum class Form : std::uint8_t { whole, why };

    explicit MountText(const Target& target, Form form = Form::whole)
        : target_(target), form_(form) {}

    core::Failure unknown_host(const std::string& host, const core::Error& error) const;
    /// A service that cannot be reached, does not answer, or answers with an error.
    core::Failure unanswered(
        Service service, const rpc::Endpoint& endpoint, const core::Error& error
    ) const;
    core::Failure not_registered(Service service, const rpc::Endpoint& portmapper) const;
    core::Failure wrong_security(const std::string& offered) const;
    core::Failure root_not_directory() const;
    core::Failure root_not_readable(const mapper::Credential& credential, const Attr& root) const;
    core::Failure path_too_long() const;

private:
    core::Failure make(int code, std::string why, std::string_view what_to_do) const;
    core::Failure refused_by_export(const core::Error& error) const;
    core::Failure put_off(const std::string& who) const;
    core::Failure refused_call(const std::string& who, Service service, const core::Error& error)
        const;
    core::Failure unreachable(const std::string& who, Service service, const core::Error& error)
        const;

    Target target_;
    Form form_;
};

/// How much a failure says about the server as a whole.
enum class Weight : std::uint8_t {
    address,  ///< nobody there, or not on this address: another may do
    refusal,  ///< somebody is there and does not serve this address: another may do
    server,   ///< no other address of it will do better
};

Weight weight_of(const core::Failure& failure) noexcept;

}  // namespace uidnfs::nfs
