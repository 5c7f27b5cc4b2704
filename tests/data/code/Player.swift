import Foundation

/// Plays a track.
public class Player: NSObject, Playable {
    let rate = 1.0
    private var queue: [Track] = []

    init(rate: Double) {
        self.rate = rate
    }

    func play(_ track: Track) {
        queue.append(track)
        Logger.shared.log(track)
    }
}

protocol Playable {
    func play(_ track: Track)
}

extension Player {
    func stop() { halt() }
}

enum State {
    case on
    case off
}
