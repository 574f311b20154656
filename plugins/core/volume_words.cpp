// SPDX-License-Identifier: Apache-2.0
// make_definition of volume_options.hpp: the words of Create, sorted.
#include "config/joined.hpp"
#include "config/source.hpp"
#include "config/text.hpp"
#include "core/text.hpp"
#include "plugins/core/volume_options.hpp"

#include <fmt/format.h>
#include <string.h>

#include <algorithm>
#include <map>

namespace uidnfs::plugins {
namespace {

constexpr std::string_view kScheme = "nfs://";
constexpr std::string_view kUsualPort = "2049";

void wipe(std::string& text) {
    explicit_bzero(text.data(), text.size());
    text.clear();
}

/// Values that may be a secret under another name than ours.
bool may_be_secret(std::string_view name) {
    std::string lower(name);
    std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return lower.starts_with("pass") || lower.find("secret") != std::string::npos ||
           lower.find("token") != std::string::npos || lower == "pwd";
}

/// "password..." of "password:PASSWORD", which Docker's -o takes for a name: nobody knows it, and
/// nobody sees the rest.
void cut_name(std::string& name) {
    const auto first = std::min(name.find_first_not_of(" \t"), name.size());
    const auto at = name.find_first_of(" \t;:&,=", first);
    if (at >= name.size() || name.find_first_not_of(" \t", at) == std::string::npos) return;
    const auto kept = name.substr(0, at) + "...";
    wipe(name);
    name = kept;
}

/// Of a share: a URL may have options behind its '?'.
std::string_view without_query(std::string_view text) {
    return text.starts_with(kScheme) ? text.substr(0, text.find('?')) : text;
}

class Sorter {
public:
    Sorter(
        Dialect dialect,
        std::vector<std::string> problems,
        std::optional<std::chrono::sys_seconds> created
    )
        : dialect_(dialect) {
        definition_->problems = std::move(problems);
        definition_->created = created;
    }

    void take(Word& word) {
        auto& [name, value] = word;
        cut_name(name);
        if (name != "password" && name != "o") cut_joined(name, value);
        if (name == "password") {
            definition_->password = core::Secret::take(value);
            definition_->password_state = Definition::Password::here;
        } else if (name == "share" || name == "source") {
            sources_.emplace_back(name, value);
        } else if (dialect_ == Dialect::docker && name == "type") {
            if (value != "nfs") problem(fmt::format("type={}: use type=nfs", config::shown(value)));
        } else if (dialect_ == Dialect::docker && name == "device") {
            device_ = value;
        } else if (dialect_ == Dialect::docker && name == "addr") {
            address_ = value;
        } else if (dialect_ == Dialect::docker && name == "o") {
            take_list(value);
        } else {
            if (may_be_secret(name)) wipe(value);
            put(name, value);
        }
    }

    DefinitionPtr finish() {
        if (!device_.empty()) join_device();
        if (device_.empty() && !address_.empty())
            problem("addr= without device=; add device=:/export");
        if (sources_.size() > 1 && sources_[0].second != sources_[1].second) {
            problem(fmt::format(
                "{} and {} name different shares; leave one of them out",
                sources_[0].first,
                sources_[1].first
            ));
        }
        if (!sources_.empty()) take_source(sources_.front().second);
        definition_->options.assign(options_.begin(), options_.end());
        return definition_;
    }

private:
    void problem(std::string text) { definition_->problems.push_back(std::move(text)); }

    /// -o uid=1001,gid=1001: what follows may be a password.
    void cut_joined(const std::string& name, std::string& value) {
        const auto whole = without_query(value);
        const auto kept = config::without_joined(whole).size();
        if (kept == whole.size()) return;
        explicit_bzero(value.data() + kept, value.size() - kept);
        value.resize(kept);
        problem(fmt::format(
            "option {}: another option stands in its value; give each of them by itself",
            config::shown(name, 40)
        ));
    }

    void put(const std::string& name, const std::string& value) {
        const auto [known, is_new] = options_.emplace(name, value);
        if (!is_new && known->second != value) {
            problem(fmt::format(
                "option {} is given twice with different values; give it once", config::shown(name)
            ));
        }
    }

    /// o= of Docker's local driver: what mount(8) would get.
    void take_list(std::string& list) {
        for (auto& option : config::split_option_string(list, "o")) {
            Word word{std::move(option.name), option.value.value_or("")};
            if (word.first == "o") {
                problem("o= in o=; leave it out");
            } else {
                take(word);
            }
            if (option.value) wipe(*option.value);
        }
        wipe(list);
    }

    void join_device() {
        if (!device_.starts_with(':')) {
            if (!address_.empty() && !device_.starts_with(address_)) {
                problem("device= and addr= name different servers; write device=:/export");
            }
            sources_.emplace_back("device", device_);
            return;
        }
        if (address_.empty()) {
            problem("device= without a server; add o=addr=SERVER");
            return;
        }
        const bool is_ipv6 = address_.find(':') != std::string::npos && !address_.starts_with('[');
        sources_.emplace_back(
            "device", is_ipv6 ? fmt::format("[{}]{}", address_, device_) : address_ + device_
        );
    }

    /// Cloud Foundry's broker puts nfs:// before "server/export" as it is, without encoding.
    static std::string unprefixed(std::string_view text) {
        const auto rest = text.substr(kScheme.size());
        const auto slash = rest.find('/');
        const auto server = rest.substr(0, slash);
        if (slash == std::string_view::npos || server.empty() ||
            rest.find_first_of("?#") != std::string_view::npos ||
            server.find_first_of(":[@") != std::string_view::npos) {
            return std::string(text);
        }
        return fmt::format("{}:{}", server, rest.substr(slash));
    }

    void take_source(std::string text) {
        if (dialect_ == Dialect::cloudfoundry && text.starts_with(kScheme)) text = unprefixed(text);
        auto parsed = config::parse_source(text);
        if (!parsed) {
            definition_->source = config::show_source(text);
            problem(fmt::format("Invalid 'share' option: {}", parsed.error().user_text));
            return;
        }
        definition_->source = parsed->source.display();
        if (!core::is_utf8(definition_->source)) {
            definition_->source = config::show_source(text);
            problem("Invalid 'share' option: its %XX are not UTF-8; mount it with uidnfs mount");
            return;
        }
        for (auto& option : parsed->options) {
            Word word{std::move(option.name), option.value.value_or("")};
            if (!core::is_utf8(word.first) || !core::is_utf8(word.second)) {
                problem(fmt::format(
                    "option {} in the URL of the share is not UTF-8; leave it out",
                    config::shown(word.first)
                ));
                continue;
            }
            const bool is_source =
                word.first == "share" || word.first == "source" || word.first == "o";
            // It says which server is meant: unlike other words it is not to be left out in
            // silence.
            const bool is_other_port = dialect_ == Dialect::cloudfoundry && word.first == "port" &&
                                       word.second != kUsualPort;
            if (is_other_port) {
                problem(fmt::format(
                    "Invalid 'share' option: port {}: only the operator sets the port; leave it "
                    "out",
                    config::shown(word.second)
                ));
            } else if (is_source) {
                problem(fmt::format("{}= in the URL of the share; leave it out", word.first));
            } else {
                take(word);
            }
        }
    }

    Dialect dialect_;
    std::shared_ptr<Definition> definition_ = std::make_shared<Definition>();
    std::vector<Word> sources_;
    std::string device_;
    std::string address_;
    std::map<std::string, std::string> options_;
};

}  // namespace

DefinitionPtr make_definition(
    Dialect dialect,
    std::vector<Word> words,
    std::vector<std::string> problems,
    std::optional<std::chrono::sys_seconds> created
) {
    Sorter sorter(dialect, std::move(problems), created);
    for (auto& word : words) sorter.take(word);
    return sorter.finish();
}

}  // namespace uidnfs::plugins
