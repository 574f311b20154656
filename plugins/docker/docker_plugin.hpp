// SPDX-License-Identifier: Apache-2.0
// DockerPlugin: Docker's volume plugin API over the volume core. Errors are HTTP 200 with plain
// text in "Err". Lives on the reactor's thread.
#pragma once

#include "plugins/core/mount_preparer.hpp"
#include "plugins/core/volumes.hpp"
#include "plugins/http/server.hpp"

namespace uidnfs::plugins::docker {

class DockerPlugin final : public http::Handler {
public:
    struct Deps {
        Volumes& volumes;
        const MountPreparer& preparer;  ///< for what Create is told
    };

    explicit DockerPlugin(Deps deps) noexcept : deps_(deps) {}

    void handle(http::Request request, http::Responder responder, std::stop_token hung_up) override;

private:
    Deps deps_;
};

}  // namespace uidnfs::plugins::docker
