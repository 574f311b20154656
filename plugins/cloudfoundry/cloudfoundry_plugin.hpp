// SPDX-License-Identifier: Apache-2.0
// CloudFoundryPlugin: the driver API of volman over the volume core. Errors are HTTP 200, and "Err"
// is itself JSON, {"SafeDescription": ...}, because volman shows nothing else to the developer of
// an application. Lives on the reactor's thread.
#pragma once

#include "plugins/core/mount_preparer.hpp"
#include "plugins/core/volumes.hpp"
#include "plugins/http/server.hpp"

namespace uidnfs::plugins::cloudfoundry {

class CloudFoundryPlugin final : public http::Handler {
public:
    struct Deps {
        Volumes& volumes;
        const MountPreparer& preparer;  ///< for what the log is told at Create
    };

    explicit CloudFoundryPlugin(Deps deps) noexcept : deps_(deps) {}

    void handle(http::Request request, http::Responder responder, std::stop_token hung_up) override;

private:
    Deps deps_;
};

}  // namespace uidnfs::plugins::cloudfoundry
