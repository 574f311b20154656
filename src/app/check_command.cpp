// SPDX-License-Identifier: Apache-2.0
// `uidnfs check`: what a mount would meet, step by step. Makes no mount, needs no right.
#include "app/commands.hpp"
#include "app/convert.hpp"
#include "app/names.hpp"
#include "config/mount_options.hpp"
#include "core/log.hpp"
#include "core/reactor.hpp"
#include "core/text.hpp"
#include "nfs/check.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>

namespace uidnfs::app {
namespace {

/// A mount may wait for minutes; whoever checks sits there.
constexpr std::uint32_t kLongestTimeo = 100;

std::string_view to_string(nfs::CheckStep::Result result) noexcept {
    switch (result) {
        case nfs::CheckStep::Result::ok: return "ok";
        case nfs::CheckStep::Result::notice: return "note";
        case nfs::CheckStep::Result::failed: return "failed";
    }
    return "failed";
}

core::Task<void> run(
    core::Reactor& reactor,
    nfs::Target target,
    nfs::MountParameters parameters,
    mapper::CredentialRef credential,
    nfs::CheckWrite write,
    std::function<void(const nfs::CheckStep&)> report,
    std::optional<bool>& works
) {
    auto checking = nfs::check_export(
        reactor,
        std::move(target),
        std::move(parameters),
        std::move(credential),
        write,
        std::move(report)
    );
    works = co_await checking;
}

}  // namespace

int run_check(const CheckArguments& arguments, Console& console) {
    const auto request =
        config::parse_mount_request(arguments.source, arguments.options, "cannot check");
    if (!request) {
        console.complain(request.error().user_text);
        return kExitUsage;
    }
    for (const auto& warning : request->warnings) console.complain("warning: " + warning);
    const auto write =
        arguments.write == CheckArguments::Write::yes ? nfs::CheckWrite::yes : nfs::CheckWrite::no;
    if (write == nfs::CheckWrite::yes && request->options.read_only == config::Switch::on) {
        console.complain(
            "uidnfs check: --write and ro: a read-only mount creates nothing; leave one out"
        );
        return kExitUsage;
    }
    const auto options = filesystem_options_of(request->options, machine_name());
    if (!options) {
        console.complain(options.error().user_text);
        return kExitUsage;
    }
    core::log::set_level(core::log::Level::off);  // the steps say it
    auto parameters = parameters_of(request->options);
    if (parameters.timeo * (parameters.retrans + 1) > kLongestTimeo) {
        parameters.timeo = std::min(parameters.timeo, kLongestTimeo);
        parameters.retrans = 0;
    }
    const bool human = arguments.format == CheckArguments::Format::human;
    const auto report = [&](const nfs::CheckStep& step) {
        if (human) {
            console.print(fmt::format(
                "{:<6} {:<9} {}\n", to_string(step.result), step.name, printable(step.text)
            ));
            return;
        }
        const boost::json::object line{
            {"step", step.name}, {"result", to_string(step.result)}, {"text", step.text}};
        console.print(core::with_valid_utf8(boost::json::serialize(line)) + '\n');
    };
    core::Reactor reactor;
    std::optional<bool> works;
    core::spawn(
        run(reactor,
            target_of(request->source),
            std::move(parameters),
            options->credential,
            write,
            report,
            works)
    );
    reactor.run_until([&] { return works.has_value(); });
    return *works ? kExitDone : kExitFailed;
}

}  // namespace uidnfs::app
