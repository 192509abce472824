/**
 * What the engine loads when it is first used is loaded before a run: to load a file takes real time, which is none of
 * a simulated world.
 */
import '../../src/engine/archive-store.ts'
import '../../src/engine/check-options.ts'
import '../../src/engine/config.ts'
import '../../src/engine/directory-engine.ts'
import '../../src/engine/replay-archive.ts'
import '../../src/engine/restore-archive.ts'
import '../../src/log/segment-source.ts'
