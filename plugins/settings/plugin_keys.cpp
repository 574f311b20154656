// SPDX-License-Identifier: Apache-2.0
// The keys of [plugin.docker] and [plugin.cloudfoundry].
#include "plugins/settings/key_checks.hpp"
#include "plugins/settings/key_rows.hpp"

namespace uidnfs::plugins::rows {

void add_docker(Builder& table) {
    table.in("plugin.docker");
    table.add(text(
        "socket",
        "PATH",
        [](S & s) -> auto& { return s.docker->socket; },
        checks::socket_path,
        "where Docker's engine asks"
    ));
}

void add_cloudfoundry(Builder& table) {
    table.in("plugin.cloudfoundry");
    table.add(text(
        "listen",
        "ADDRESS:PORT",
        [](S & s) -> auto& { return s.cloudfoundry->listen; },
        checks::listen,
        "where volman asks"
    ));
    table.add(text(
        "driver_name",
        "NAME",
        [](S & s) -> auto& { return s.cloudfoundry->driver_name; },
        checks::file_name,
        "the name that service brokers know"
    ));
    table.add(text(
        "drivers_path",
        "PATH",
        [](S & s) -> auto& { return s.cloudfoundry->drivers_path; },
        checks::path,
        "where volman looks for drivers"
    ));
    table.add(boolean(
        "insecure",
        [](S & s) -> auto& { return s.cloudfoundry->insecure; },
        "serves without TLS: every local process can then mount"
    ));
    table.add(choice(
        "unknown_options",
        [](S & s) -> auto& { return s.cloudfoundry->unknown_options; },
        {{"warn", number_of(UnknownOptions::warn)}, {"refuse", number_of(UnknownOptions::refuse)}},
        "what happens to options of a binding that nobody knows"
    ));
    table.add(boolean(
        "force_version",
        [](S & s) -> auto& { return s.cloudfoundry->force_version; },
        "serves version=4.x of a binding as 3, with a warning"
    ));

    table.in("plugin.cloudfoundry.tls");
    const auto file = [&](std::string_view name, auto ref, std::string_view help) -> KeySpec& {
        auto& row = table.add(text(name, "PATH", ref, checks::maybe_path, help));
        row.default_words = "none";
        return row;
    };
    file(
        "ca_file",
        [](S & s) -> auto& { return s.cloudfoundry->tls.ca_file; },
        "the authority of both sides"
    );
    file(
        "cert_file",
        [](S & s) -> auto& { return s.cloudfoundry->tls.cert_file; },
        "certificate of the daemon"
    );
    file(
        "key_file",
        [](S & s) -> auto& { return s.cloudfoundry->tls.key_file; },
        "its key, which others cannot read"
    )
        .shown = Shown::no;
    file(
        "client_cert_file",
        [](S & s) -> auto& { return s.cloudfoundry->tls.client_cert_file; },
        "certificate of volman, named in the driver's spec file"
    );
    file(
        "client_key_file",
        [](S & s) -> auto& { return s.cloudfoundry->tls.client_key_file; },
        "its key, named there too"
    )
        .shown = Shown::no;
}

}  // namespace uidnfs::plugins::rows
