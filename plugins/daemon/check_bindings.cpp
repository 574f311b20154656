// SPDX-License-Identifier: Apache-2.0
#include "plugins/daemon/check_bindings.hpp"

#include "config/source.hpp"
#include "core/fd.hpp"
#include "core/log.hpp"
#include "plugins/core/driver_call.hpp"
#include "plugins/daemon/commands.hpp"
#include "plugins/daemon/rules.hpp"
#include "plugins/settings/load.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>

namespace uidnfs::plugins {
namespace {

using Verdict = BindingReport::Verdict;

constexpr std::size_t kMaxFile = 64 << 20;

/// Stands for the address of a name that nobody asks for: of RFC 5737, so that it is neither
/// loopback nor link-local.
constexpr std::string_view kSomeAddress = "192.0.2.1";

std::string_view to_string(Verdict verdict) {
    switch (verdict) {
        case Verdict::fine: return "fine";
        case Verdict::warning: return "warning";
        case Verdict::refused: return "refused";
    }
    return "";
}

Dialect dialect_of(const Binding& binding, const Settings& settings) {
    if (binding.dialect) return *binding.dialect;
    return settings.docker && !settings.cloudfoundry ? Dialect::docker : Dialect::cloudfoundry;
}

policy::Decision decide_declared(
    const policy::Policy& policy, policy::Request request, const config::MountOptions& options
) {
    request.identity_source = policy::IdentitySource::declared;
    request.uid = options.uid.value_or(0);
    request.gid = options.gid.value_or(0);
    request.groups = options.gids;
    return policy::decide(policy, request);
}

/// Nobody knows the ids yet. What is asked: is there a rule that takes this share at all?
policy::Decision decide_unknown(const policy::Policy& policy, policy::Request request) {
    request.identity_source = policy::IdentitySource::ldap;
    request.uid = request.gid = 1;
    auto nearest = policy::decide(policy, request);
    for (const auto& rule : policy.rules) {
        if (rule.uids.empty() || rule.gids.empty()) continue;
        request.uid = std::max<std::uint32_t>(rule.uids.front().first, 1);
        request.gid = std::max<std::uint32_t>(rule.gids.front().first, 1);
        auto decision = policy::decide(policy, request);
        if (decision.verdict == policy::Decision::Verdict::allowed) return decision;
        if (decision.reason > nearest.reason) nearest = std::move(decision);
    }
    return nearest;
}

class BindingCheck {
public:
    BindingCheck(const Binding& binding, const Settings& settings)
        : binding_(binding), settings_(settings), dialect_(dialect_of(binding, settings)) {}

    BindingReport run() {
        report_.name = binding_.name;
        if (binding_.words.empty() && !binding_.problems.empty()) {
            refuse(binding_.problems.front());
            return std::move(report_);
        }
        const auto definition = make_definition(dialect_, binding_.words, binding_.problems);
        report_.source = definition->source;
        const auto options = check_options(*definition, dialect_, rules_of(settings_));
        if (!options) {
            refuse(options.error().user_text);
            return std::move(report_);
        }
        report_.source = options->source;
        for (const auto& warning : options->warnings) warn(warning);
        ask_policy(*options);
        return std::move(report_);
    }

private:
    void warn(std::string reason) {
        report_.verdict = std::max(report_.verdict, Verdict::warning);
        report_.reasons.push_back(std::move(reason));
    }

    void refuse(std::string reason) {
        report_.verdict = Verdict::refused;
        report_.reasons.push_back(std::move(reason));
    }

    void ask_policy(const VolumeOptions& options) {
        const bool is_declared = options.username.empty() && options.credentials.empty();
        auto words = options.options;
        if (!is_declared) {
            words.push_back({"uid", "65534", {}});
            words.push_back({"gid", "65534", {}});
        }
        const auto mount = config::parse_mount_request(options.source, words);
        if (!mount) return refuse(mount.error().user_text);
        const auto literal = policy::parse_address(mount->source.host);
        const std::array addresses{literal ? *literal : *policy::parse_address(kSomeAddress)};
        const policy::Request request{
            .plugin =
                dialect_ == Dialect::docker ? policy::Plugin::docker : policy::Plugin::cloudfoundry,
            .host = mount->source.host,
            .path = mount->source.export_path,
            .addresses = addresses,
            .port = mount->options.port};
        if (is_declared) {
            report_.identity = fmt::format(
                "{}:{}", mount->options.uid.value_or(0), mount->options.gid.value_or(0)
            );
            tell(decide_declared(settings_.policy, request, mount->options), "");
        } else {
            report_.identity = options.credentials.empty()
                                   ? fmt::format("user {}", options.username)
                                   : fmt::format("credentials {}", options.credentials);
            tell(
                decide_unknown(settings_.policy, request),
                "; the directory says who that is, and the rule looks at its ids then"
            );
        }
    }

    void tell(const policy::Decision& decision, std::string_view more) {
        using Decided = policy::Decision::Verdict;
        switch (decision.verdict) {
            case Decided::refused: return refuse("the policy refuses it: " + decision.text);
            case Decided::reported:
                return warn(
                    "it passes because of mode = \"report\"; with \"enforce\": " + decision.text
                );
            case Decided::allowed: break;
        }
        if (report_.verdict == Verdict::fine) {
            report_.reasons.push_back(fmt::format("{}{}", decision.text, more));
        }
    }

    const Binding& binding_;
    const Settings& settings_;
    Dialect dialect_;
    BindingReport report_;
};

std::array<std::size_t, 3> count(const std::vector<BindingReport>& reports) {
    std::array<std::size_t, 3> counts{};
    for (const auto& report : reports) ++counts[static_cast<std::size_t>(report.verdict)];
    return counts;
}

core::Outcome<std::string> read_file(const std::string& path) {
    const core::Fd file(::open(path == "-" ? "/dev/stdin" : path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string text;
    while (file) {
        const auto before = text.size();
        text.resize(before + 65536);
        const auto got = ::read(file.get(), text.data() + before, 65536);
        if (got < 0) break;
        text.resize(before + static_cast<std::size_t>(got));
        if (got == 0) return text;
        if (text.size() > kMaxFile) return core::Failure{EFBIG, "it has more than 64 MiB"};
    }
    return core::Failure{errno, std::strerror(errno)};
}

}  // namespace

BindingReport check_binding(const Binding& binding, const Settings& settings) {
    return BindingCheck(binding, settings).run();
}

std::string human_bindings(const std::vector<BindingReport>& reports, std::size_t others) {
    std::string out;
    for (const auto& report : reports) {
        const auto what = fmt::format(
            "{}{}{}",
            report.source.empty() ? "no share" : report.source,
            report.identity.empty() ? "" : " as ",
            report.identity
        );
        for (const auto& reason : report.reasons) {
            out += core::log::printable(fmt::format(
                "{:<8} {}: {}: {}", to_string(report.verdict), report.name, what, reason
            ));
            out += '\n';
        }
    }
    const auto [fine, warnings, refused] = count(reports);
    out += fmt::format(
        "{} binding{}: {} fine, {} with warnings, {} refused{}\n",
        reports.size(),
        reports.size() == 1 ? "" : "s",
        fine,
        warnings,
        refused,
        others == 0 ? "" : fmt::format("; {} of other drivers left out", others)
    );
    return out;
}

std::string json_bindings(const std::vector<BindingReport>& reports, std::size_t others) {
    std::string list;
    for (const auto& report : reports) {
        std::string reasons;
        for (const auto& reason : report.reasons) {
            reasons += (reasons.empty() ? "" : ",") + json_string(reason);
        }
        list += fmt::format(
            R"({}{{"name":{},"source":{},"identity":{},"verdict":"{}","reasons":[{}]}})",
            list.empty() ? "" : ",",
            json_string(report.name),
            json_string(report.source),
            json_string(report.identity),
            to_string(report.verdict),
            reasons
        );
    }
    const auto [fine, warnings, refused] = count(reports);
    return fmt::format(
        R"({{"bindings":[{}],"fine":{},"warnings":{},"refused":{},"other_drivers":{}}})"
        "\n",
        list,
        fine,
        warnings,
        refused,
        others
    );
}

int run_check_bindings(
    const CheckBindings& command, const Environment& environment, core::Console& console
) {
    const auto loaded = load_settings(command.config, environment);
    if (!loaded.settings) {
        for (const auto& problem : loaded.problems) console.complain(to_text(problem));
        return kExitFailed;
    }
    const auto& settings = *loaded.settings;
    std::vector<std::string> drivers{"uidnfs", "nfsv3driver"};
    if (settings.cloudfoundry) drivers.push_back(settings.cloudfoundry->driver_name);
    auto text = read_file(command.file);
    const auto bindings = text ? read_bindings(*text, drivers) : text.error();
    if (!bindings) {
        console.complain(core::log::printable(fmt::format(
            "uidnfsd: cannot read the bindings of {}: {}; see uidnfsd check-bindings --help",
            command.file,
            bindings.error().user_text
        )));
        return kExitFailed;
    }
    std::vector<BindingReport> reports;
    for (const auto& binding : bindings->list) reports.push_back(check_binding(binding, settings));
    const bool is_json = command.format == CheckBindings::Format::json;
    console.print(
        is_json ? json_bindings(reports, bindings->others)
                : human_bindings(reports, bindings->others)
    );
    return count(reports)[static_cast<std::size_t>(Verdict::refused)] == 0 ? kExitDone
                                                                           : kExitFailed;
}

}  // namespace uidnfs::plugins
