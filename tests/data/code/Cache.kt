package store

import java.util.concurrent.ConcurrentHashMap
import store.keys.Key as K

/** Keeps what was read. */
class Cache<T>(private val size: Int) : Base<T>(), Closeable {
    val hits = 0

    // Looks a key up.
    fun get(key: K): T? {
        return map.get(key) ?: load(key)
    }

    companion object {
        const val MOST = 100
    }
}

interface Loader {
    fun load(key: K)
}

enum class Mode { FAST, SLOW }

object Registry

fun K.short(): String = this.name
