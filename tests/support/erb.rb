# SPDX-License-Identifier: Apache-2.0
# Renders a template of a BOSH job: erb.rb JOB-SPEC PROPERTIES.json TEMPLATE. What BOSH gives to
# templates and ours use: p and if_p, with defaults of the spec, and an error for what it does not
# declare.
require 'erb'
require 'json'
require 'yaml'

class Job
  def initialize(spec, given)
    @declared = spec.fetch('properties')
    @values = @declared.transform_values { |about| about['default'] }
    flatten(given).each { |name, value| @values[name] = value if @declared.key?(name) }
  end

  def p(name, *default)
    raise "#{name} is not in the spec" unless @declared.key?(name)
    return @values[name] unless @values[name].nil?
    raise "#{name} is not set and has no default" if default.empty?
    default.first
  end

  def if_p(name)
    raise "#{name} is not in the spec" unless @declared.key?(name)
    yield @values[name] unless @values[name].nil?
  end

  def render(template)
    ERB.new(template, trim_mode: '-').result(binding)
  end

  private

  # Values that are hashes themselves end where a property is declared.
  def flatten(tree, above = nil)
    tree.flat_map do |key, value|
      name = above ? "#{above}.#{key}" : key
      value.is_a?(Hash) && !@declared.key?(name) ? flatten(value, name) : [[name, value]]
    end
  end
end

spec, properties, template = ARGV
job = Job.new(YAML.load_file(spec), JSON.parse(File.read(properties)))
print job.render(File.read(template))
