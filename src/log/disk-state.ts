/**
 * What the disk under the WAL lets an engine do, as one state machine: a total table that code and tests share.
 *
 *     working ──no room──────► full, read_only ──probe──► resuming ──► working      in place, under the same epoch
 *        │ ▲
 *        │ └──the call returns── stuck
 *        └──a sync or a write fails──► failed ──probe──► reopening ──► working      under a new epoch
 *
 * - Only in `working` is anything acknowledged that has to reach the disk. Reads go on in every state.
 * - From `failed` no way leads back but through `reopening`: an epoch that saw an error of the disk never acknowledges
 *   again, because the kernel may have dropped what it could not write and shows it all the same.
 * - `fenced`, `damaged` and `closed` are final: what happens to the disk after that changes nothing.
 */
import type { ErrorCode, StratalogError } from '../base/errors.ts'

export const DISK_STATES = [
  'working',
  'stuck',
  'full',
  'read_only',
  'resuming',
  'failed',
  'reopening',
  'fenced',
  'damaged',
  'closed',
] as const

export type DiskState = (typeof DISK_STATES)[number]

/**
 * `no_space` and `read_only`: nothing was lost, nothing more can be written. `io_error`: what was written last may be
 * lost. `slow` and `returned`: a call takes longer than WAL_STUCK_AFTER_MS, and came back. `probe_passed`: the disk
 * takes and syncs bytes. `resumed`: a WAL takes appends. `fenced`: a newer writer is there. `damage`: what was
 * acknowledged cannot be read back.
 */
export const DISK_EVENTS = [
  'no_space',
  'read_only',
  'io_error',
  'slow',
  'returned',
  'probe_passed',
  'resumed',
  'fenced',
  'damage',
  'close',
] as const

export type DiskEvent = (typeof DISK_EVENTS)[number]

type Row = Readonly<Record<DiskEvent, DiskState>>

/** The state after each event in a state; events that cannot come there change nothing. */
export const DISK_TRANSITIONS: Readonly<Record<DiskState, Row>> = {
  working: row('working', {
    no_space: 'full',
    read_only: 'read_only',
    io_error: 'failed',
    slow: 'stuck',
  }),
  stuck: row('stuck', {
    no_space: 'full',
    read_only: 'read_only',
    io_error: 'failed',
    returned: 'working',
  }),
  full: row('full', { read_only: 'read_only', io_error: 'failed', probe_passed: 'resuming' }),
  read_only: row('read_only', {
    no_space: 'full',
    io_error: 'failed',
    probe_passed: 'resuming',
  }),
  resuming: row('resuming', {
    no_space: 'full',
    read_only: 'read_only',
    io_error: 'failed',
    resumed: 'working',
  }),
  failed: row('failed', { probe_passed: 'reopening' }),
  reopening: row('reopening', {
    no_space: 'failed',
    read_only: 'failed',
    io_error: 'failed',
    resumed: 'working',
  }),
  fenced: { ...every('fenced'), close: 'closed' },
  damaged: { ...every('damaged'), close: 'closed' },
  closed: every('closed'),
}

/** What a state means. */
export interface DiskStateFacts {
  /** What an append that needs the disk is refused with; null where it is taken. */
  readonly refusal: ErrorCode | null
  /** Whether the engine tries by itself to go on. */
  readonly isRetried: boolean
  /** Whether this epoch acknowledges nothing more, at any level below memory. */
  readonly endsEpoch: boolean
  /** For people: what became of the disk, and what happens next. */
  readonly meaning: string
}

export const DISK_STATE_FACTS: Readonly<Record<DiskState, DiskStateFacts>> = {
  working: facts(null, 'The disk takes appends.'),
  stuck: facts(
    'disk_stuck',
    'A write or sync of the WAL does not return. Appends are taken again when it does.',
  ),
  full: facts('disk_full', 'There is no space left. Appends go on by themselves when there is.', {
    isRetried: true,
  }),
  read_only: facts(
    'disk_read_only',
    'The file system is read-only. Appends go on by themselves when it can be written.',
    { isRetried: true },
  ),
  resuming: facts('disk_full', 'The disk can be written again; the WAL is being continued.', {
    isRetried: true,
  }),
  failed: facts(
    'disk_failed',
    'The disk failed, so this epoch acknowledges nothing more. The engine recovers under a new epoch when the disk works.',
    { isRetried: true, endsEpoch: true },
  ),
  reopening: facts('disk_failed', 'The disk works again; the engine recovers under a new epoch.', {
    isRetried: true,
    endsEpoch: true,
  }),
  fenced: facts(
    'writer_fenced',
    'A newer writer has the directory or its archive. This one writes nothing more.',
    {
      endsEpoch: true,
    },
  ),
  damaged: facts(
    'wal_corrupt',
    'What was acknowledged cannot be read back from the WAL. Nothing is written; close the engine and look at the file.',
    { endsEpoch: true },
  ),
  closed: facts('engine_closed', 'The engine is closed.'),
}

/** What a failure says about the disk. */
export function diskEventOf(failure: StratalogError): DiskEvent {
  if (failure.kind === 'corrupt') return 'damage'
  return EVENT_BY_CODE[failure.code] ?? 'io_error'
}

const EVENT_BY_CODE: Readonly<Partial<Record<ErrorCode, DiskEvent>>> = {
  disk_full: 'no_space',
  disk_read_only: 'read_only',
  writer_fenced: 'fenced',
  engine_closed: 'close',
}

function every(state: DiskState): Row {
  return {
    no_space: state,
    read_only: state,
    io_error: state,
    slow: state,
    returned: state,
    probe_passed: state,
    resumed: state,
    fenced: state,
    damage: state,
    close: state,
  }
}

/** A row of a state that is not final: everything that is not said leaves it as it is. */
function row(state: DiskState, changes: Partial<Row>): Row {
  return { ...every(state), fenced: 'fenced', damage: 'damaged', close: 'closed', ...changes }
}

function facts(
  refusal: ErrorCode | null,
  meaning: string,
  { isRetried = false, endsEpoch = false }: Partial<DiskStateFacts> = {},
): DiskStateFacts {
  return { refusal, isRetried, endsEpoch, meaning }
}
