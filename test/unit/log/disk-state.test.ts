import { expect, test } from 'vitest'
import { ERROR_CODES, StratalogError } from '../../../src/base/errors.ts'
import {
  DISK_EVENTS,
  DISK_STATES,
  DISK_STATE_FACTS,
  DISK_TRANSITIONS,
  type DiskState,
  diskEventOf,
} from '../../../src/log/disk-state.ts'

/** Every state that can follow `from`, in any number of events. */
function reachable(from: DiskState, isAllowed: (state: DiskState) => boolean): Set<DiskState> {
  const seen = new Set<DiskState>([from])
  const left = [from]
  for (let state = left.pop(); state !== undefined; state = left.pop()) {
    for (const event of DISK_EVENTS) {
      const next = DISK_TRANSITIONS[state][event]
      if (seen.has(next) || !isAllowed(next)) continue
      seen.add(next)
      left.push(next)
    }
  }
  return seen
}

test('the table is total: every state says where every event leads', () => {
  for (const state of DISK_STATES) {
    expect(Object.keys(DISK_TRANSITIONS[state]).sort()).toEqual([...DISK_EVENTS].sort())
    for (const event of DISK_EVENTS) expect(DISK_STATES).toContain(DISK_TRANSITIONS[state][event])
  }
  expect([...reachable('working', () => true)].sort()).toEqual([...DISK_STATES].sort())
})

test('only a working disk takes appends, and every other state refuses them with a code of its own', () => {
  for (const state of DISK_STATES) {
    const { refusal, meaning } = DISK_STATE_FACTS[state]
    expect(refusal === null).toBe(state === 'working')
    if (refusal !== null) expect(ERROR_CODES).toHaveProperty(refusal)
    expect(meaning).toMatch(/^[A-Z].*\.$/)
  }
})

test('after an error of the disk no way leads back to work but by a new epoch', () => {
  const withoutReopening = reachable('failed', (state) => state !== 'reopening')
  expect(withoutReopening).not.toContain('working')
  expect(withoutReopening).not.toContain('resuming')
  for (const state of ['working', 'stuck', 'full', 'read_only', 'resuming'] as const)
    expect(DISK_TRANSITIONS[state].io_error).toBe('failed')
  for (const state of ['failed', 'reopening'] as const)
    expect(DISK_STATE_FACTS[state].endsEpoch).toBe(true)
})

test('every state that is not final leads back to work, and the final ones never do', () => {
  for (const state of DISK_STATES) {
    const isFinal = ['fenced', 'damaged', 'closed'].includes(state)
    expect(reachable(state, () => true).has('working')).toBe(!isFinal)
    if (state !== 'closed') expect(DISK_TRANSITIONS[state].close).toBe('closed')
    if (!isFinal) {
      expect(DISK_TRANSITIONS[state].fenced).toBe('fenced')
      expect(DISK_TRANSITIONS[state].damage).toBe('damaged')
    }
  }
})

test('the engine tries again exactly where a probe can lead on, and resumes from there only', () => {
  for (const state of DISK_STATES) {
    const after = DISK_TRANSITIONS[state].probe_passed
    const leadsOn = after !== state || DISK_TRANSITIONS[state].resumed !== state
    expect(DISK_STATE_FACTS[state].isRetried).toBe(leadsOn)
  }
})

test('a failure says what it is about', () => {
  const event = (code: keyof typeof ERROR_CODES): string =>
    diskEventOf(new StratalogError(code, ''))
  expect(event('disk_full')).toBe('no_space')
  expect(event('disk_read_only')).toBe('read_only')
  expect(event('writer_fenced')).toBe('fenced')
  expect(event('wal_corrupt')).toBe('damage')
  expect(event('disk_failed')).toBe('io_error')
  expect(event('internal')).toBe('io_error')
  expect(event('file_system_failed')).toBe('io_error')
})
