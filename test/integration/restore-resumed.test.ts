/** A restore that was interrupted, and taken up again when its archive has moved on. */
import { expect, test } from 'vitest'
import {
  type RestoreArchiveOptions,
  Stratalog,
  VirtualClock,
  restoreArchive,
} from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const HOUR = 3_600_000
const START = 1_700_000_000_000

type Selection = Pick<RestoreArchiveOptions, 'eager' | 'at' | 'snapshot' | 'logs'>

const SELECTIONS: readonly (readonly [string, Selection, number | null])[] = [
  ['all of it, eagerly', { eager: true }, null],
  ['a moment', { at: START + 7500 }, 800],
  ['a snapshot', { snapshot: 'named' }, 700],
  ['a log', { logs: ['a'] }, null],
]

test.each(SELECTIONS)(
  'an interrupted restore of %s goes on when the archive was appended to and merged, as of one instant',
  async (_, selection, count) => {
    const root = await temporaryDirectory()
    const archive = `file://${root}/archive`
    const clock = new VirtualClock(START)
    const storage = { memoryTtl: '1m', diskAfter: '1m', archiveAfter: '1m' }
    await using db = await Stratalog.open({ dataDir: `${root}/data`, archive }, { clock })
    await db.tier.pause()
    const log = await db.createLog('a', { schema: { n: 'int32' }, storage })
    await db.createLog('b', { schema: { n: 'int32' } })
    for (let n = 0; n < 1000; n += 100) {
      await log.append(Array.from({ length: 100 }, (__, row) => ({ n: n + row })))
      await db.tier.now({ to: 'object' })
      if (n === 600) await db.snapshot({ name: 'named' })
      clock.advance(1000)
    }

    const restored = { archive, dataDir: `${root}/restored`, ...selection }
    const interrupted = async (): Promise<void> => {
      const stop = new AbortController()
      const { signal } = stop
      const onProgress = (): void => stop.abort()
      await expectError(restoreArchive({ ...restored, signal, onProgress }, { clock }), 'aborted')
    }
    await interrupted()
    await log.append({ n: 1000 })
    await db.tier.now({ to: 'object' })
    await interrupted()
    await db.tier.resume()
    clock.advance(HOUR)
    while ((await db.tier.run()).length > 0);
    await db.tier.compact()
    clock.advance(2 * HOUR)
    await db.tier.collect()
    const other = restoreArchive({ ...restored, logs: ['b'] }, { clock })
    await expectError(other, 'directory_not_empty')
    const records = count ?? 1001
    expect(await restoreArchive(restored, { clock })).toMatchObject({
      verified: true,
      records,
      missing: [],
      corrupt: [],
      gaps: [],
    })
    await using copy = await Stratalog.open({ dataDir: restored.dataDir }, { clock })
    const rows = await copy.log('a').read().toArray()
    expect(rows.map(({ n }) => n)).toEqual(Array.from({ length: records }, (__, n) => n))
  },
)
