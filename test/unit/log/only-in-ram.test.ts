import { expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import { flushedTo } from '../../../src/log/only-in-ram.ts'
import { expectError } from '../../support/expect-error.ts'
import { MEMORY_POLICY, Surroundings, appendRows, liveLog } from '../../support/live-logs.ts'

test('who waits for a flush is told when the disk fails, and may wait again', async () => {
  const around = new Surroundings()
  const log = liveLog(around, { policy: MEMORY_POLICY, definition: { timeColumn: null } })
  await appendRows(log, [{ n: 1 }])
  const partition = log.partition(0)
  const waiting = flushedTo(partition, 1, around.acks.failing)
  around.acks.withdraw(0, false, (fate) => new StratalogError('disk_failed', fate))
  await expectError(waiting, 'disk_failed')
  const again = flushedTo(partition, 1, around.acks.failing)
  expect(around.acks.failing.aborted).toBe(false)
  partition.close()
  await expectError(again, 'engine_closed')
})

test('who waits for a flush that the disk has no room for waits no longer than there is patience', async () => {
  const around = new Surroundings()
  const log = liveLog(around, { policy: MEMORY_POLICY, definition: { timeColumn: null } })
  await appendRows(log, [{ n: 1 }])
  const patience = new AbortController()
  let isEnded = false
  const end = (): void => {
    isEnded = true
  }
  const { failing } = around.acks
  const waiting = flushedTo(log.partition(0), 1, failing, { signal: patience.signal, end })
  patience.abort(new StratalogError('disk_budget_full', 'no room came'))
  await expectError(waiting, 'disk_budget_full')
  expect(isEnded).toBe(true)
})
