// SPDX-License-Identifier: Apache-2.0
// Metrics: what Prometheus is told, as text. It counts decisions and what workers say of
// themselves, and asks for the rest when it is read. Names are those of docs/OPERATING.md. Lives on
// the reactor's thread; owned by main().
#pragma once

#include "plugins/core/mounter.hpp"
#include "plugins/observe/gauges.hpp"
#include "plugins/observe/health_watch.hpp"
#include "plugins/observe/mounted_volume.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace uidnfs::plugins {

class Metrics final : public Observer, public StatusListener {
public:
    enum class PerVolume : std::uint8_t { no, yes };  ///< container ids are many
    struct Deps {
        std::function<Gauges()> gauges;
        PerVolume per_volume = PerVolume::no;
        std::function<std::optional<std::uint64_t>(std::uint32_t)> resident = resident_bytes;
        /// What mounts that are older went through is not counted.
        std::chrono::system_clock::time_point began = std::chrono::system_clock::now();
    };

    explicit Metrics(Deps deps);
    Metrics(const Metrics&) = delete;
    Metrics& operator=(const Metrics&) = delete;
    ~Metrics() override;

    void decided(const Decision& decision) override;
    void status_told(const MountedVolume& volume, const boost::json::object& status) override;
    void worker_gone(const MountedVolume& volume) override;

    /// From a recheck: live mounts whose identity the directory does not know as it was.
    void set_lost_identities(std::size_t mounts);
    /// Live mounts whose access is taken away.
    void set_denied_mounts(std::size_t mounts);
    /// Access of one mount was taken away.
    void count_denial();

    /// Prometheus' text format, version 0.0.4.
    std::string render();

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

inline constexpr std::string_view kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace uidnfs::plugins
