// SPDX-License-Identifier: Apache-2.0
#include "mapper/presenter.hpp"

#include <cerrno>

namespace uidnfs::mapper {
namespace {

/// One rule for uids and gids, which differ only in type.
template <class Client, class Server>
Client show(Presentation presentation, Client app, Server mapped, Server id) noexcept {
    switch (presentation) {
        case Presentation::all: return app;
        case Presentation::verbatim: return Client(id.value());
        case Presentation::mapped: break;
    }
    if (id == mapped) return app;
    // A foreign id that happens to be the application's number must not look like its own.
    return id.value() == app.value() ? Client(kNobody) : Client(id.value());
}

template <class Client, class Server>
core::Result<std::optional<Server>> change(
    Presentation presentation,
    Client app,
    Server mapped,
    const std::optional<Client>& wanted,
    Server current
) noexcept {
    using Change = std::optional<Server>;
    if (!wanted) return Change();
    if (presentation == Presentation::verbatim) return Change(Server(wanted->value()));
    if (*wanted == show(presentation, app, mapped, current)) return Change();
    if (presentation == Presentation::mapped && *wanted == app) return Change(mapped);
    return core::Error(EPERM);
}

}  // namespace

ClientUid Presenter::present(ServerUid uid) const noexcept {
    return show(presentation_, identity_.app_uid, identity_.uid, uid);
}

ClientGid Presenter::present(ServerGid gid) const noexcept {
    return show(presentation_, identity_.app_gid, identity_.gid, gid);
}

core::Result<OwnerChange> Presenter::accept(
    const OwnerRequest& request, ServerUid owner, ServerGid group
) const noexcept {
    const auto uid = change(presentation_, identity_.app_uid, identity_.uid, request.uid, owner);
    if (!uid) return uid.error();
    const auto gid = change(presentation_, identity_.app_gid, identity_.gid, request.gid, group);
    if (!gid) return gid.error();
    return OwnerChange{*uid, *gid};
}

}  // namespace uidnfs::mapper
