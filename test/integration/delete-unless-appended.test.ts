/** A log is deleted only while its deleter still wants that, and no append comes between. */
import { expect, test } from 'vitest'
import { engineOf } from '../../src/engine/stratalog.ts'
import { Stratalog } from '../../src/index.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

test.each(['in RAM', 'on disk'])('an append before it keeps a log %s', async (place) => {
  await using db =
    place === 'in RAM'
      ? await Stratalog.memoryOnly()
      : await Stratalog.open({ dataDir: await temporaryDirectory() })
  const log = await db.createLog('log')
  const engine = engineOf(db)
  const live = engine.registry.get('log')
  const deleting = engine.deleteLog(live, () => {
    if (live.partition(0).nextOffset > 0) throw new Error('not empty')
  })
  const appended = log.append({ n: 1 })
  await expect(deleting).rejects.toThrow('not empty')
  await appended
  await log.append({ n: 2 })
  expect(await log.read().toArray()).toMatchObject([{ n: 1 }, { n: 2 }])
  await engine.deleteLog(live)
  expect(db.logs()).toEqual([])
})
