import type { Mutex } from '../../src/base/mutex.ts'
import type { EnginePorts, Stratalog, StratalogOptions } from '../../src/index.ts'
import type { Checks } from './checks.ts'
import type { Model } from './model.ts'
import type { SimulatedProcess } from './process.ts'
import type { Setting } from './setting.ts'
import type { World } from './world.ts'

/** What a client works with during one life of an engine. */
export interface Life {
  readonly world: World
  readonly process: SimulatedProcess
  readonly db: Stratalog
  readonly model: Model
  readonly checks: Checks
  readonly hasArchive: boolean
  readonly setting: Pick<
    Setting,
    'deletesLogs' | 'retainsLogs' | 'detachesLogs' | 'pausesMoves' | 'asksOfSnapshots'
  >
  readonly options: StratalogOptions
  /** Of another process on the same machine. */
  readonly portsOf: (process: SimulatedProcess) => EnginePorts
  /** One at a time: who reads beside the writer, and collections, which such a reader would have to have waited for. */
  readonly besides: Mutex
  /** Set once a sync of the WAL has failed, until a WAL of a new epoch takes appends. */
  readonly isPoisoned: () => boolean
}
