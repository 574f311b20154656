// SPDX-License-Identifier: Apache-2.0
// Presenter: both directions of the mapping of owners. Pure; one per mount, immutable.
#pragma once

#include "core/error.hpp"
#include "mapper/ids.hpp"

#include <optional>

namespace uidnfs::mapper {

enum class Presentation {
    all,       ///< every file belongs to the application user
    mapped,    ///< only files of the mapped identity do; others are shown as they are
    verbatim,  ///< identity=caller: ids as the server has them
};

/// What chown(2) asks for, in the container's words.
struct OwnerRequest {
    std::optional<ClientUid> uid;
    std::optional<ClientGid> gid;
};

/// What goes to the server; both empty: nothing is sent.
struct OwnerChange {
    std::optional<ServerUid> uid;
    std::optional<ServerGid> gid;
};

class Presenter {
public:
    struct Identity {
        ClientUid app_uid;
        ClientGid app_gid;
        ServerUid uid;
        ServerGid gid;
    };

    Presenter(Presentation presentation, Identity identity) noexcept
        : presentation_(presentation), identity_(identity) {}

    ClientUid present(ServerUid uid) const noexcept;
    ClientGid present(ServerGid gid) const noexcept;

    /// A change to what is shown already is no change. Else EPERM, except `verbatim`, which passes
    /// ids through, and `mapped`, where a foreign file may be given to the mapped identity (the
    /// server decides). `owner` and `group` are the file's, as the server has them.
    core::Result<OwnerChange> accept(const OwnerRequest& request, ServerUid owner, ServerGid group)
        const noexcept;

    Presentation presentation() const noexcept { return presentation_; }

private:
    Presentation presentation_;
    Identity identity_;
};

}  // namespace uidnfs::mapper
