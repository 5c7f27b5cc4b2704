require "set"
require_relative "hull"

# Ships and what they carry.
module Fleet
  MOST = 3

  class Ship < Vessel
    include Comparable

    # Loads a crate.
    def load(crate)
      raise Full if crates.size >= MOST
      crates.push(crate)
    end

    def self.build(name)
      new(name)
    end
  end
end
