/** What a seed makes of a world before anything happens in it, and how each of its processes is to die. */
import type { Dice } from './dice.ts'
import type { WalShape } from './ports.ts'
import type { CrashPlan } from './process.ts'
import { type LogSpec, chooseLogs, withKeep } from './records.ts'
import { STEPS, type Step } from './steps.ts'

export interface Setting {
  readonly archive: string | null
  readonly specs: readonly LogSpec[]
  readonly maxMemoryBytes: number
  readonly shape: WalShape
  readonly lives: number
  /** Of the scrubber, ms; 0: it does nothing by itself. */
  readonly scrubInterval: number
  /** Whether copies rot while no engine runs. */
  readonly isDamaged: boolean
  /** Whether clients delete logs. */
  readonly deletesLogs: boolean
  /** Whether clients have logs keep only what is new. */
  readonly retainsLogs: boolean
  /** Whether clients detach logs from the directory, and attach them again. */
  readonly detachesLogs: boolean
  /** Whether clients pause tier moves. */
  readonly pausesMoves: boolean
  /** Whether clients ask as of snapshots, and fork there. */
  readonly asksOfSnapshots: boolean
  /** In some worlds with an archive, until the end; null: none. */
  readonly maxDiskBytes: number | null
}

const REMOTE_STEPS: readonly Step[] = ['upload', 'evict', 'archive commit', 'snapshot']
/** What happens in a life; a restore has processes of its own, and deletions are drawn apart. */
const LIFE_STEPS = STEPS.filter((step) => step !== 'restore' && step !== 'delete log')
const DISK_STEPS = LIFE_STEPS.filter((step) => !REMOTE_STEPS.includes(step))

export function chooseSetting(dice: Dice): Setting {
  const archive = dice.pick([null, 's3://bucket/archive', 's3://bucket/archive', 'file:///archive'])
  const isDamaged = archive !== null && dice.fork('damage').chance(0.2)
  const fileBytesMin = dice.pick([4_096, 16_384, 262_144])
  return {
    archive,
    specs: chooseLogs(dice, archive !== null).map((spec) =>
      withKeep(spec, spec.isKeyed && dice.fork(`versions ${spec.name}`).chance(0.4)),
    ),
    maxMemoryBytes: dice.chance(0.2) ? 4 * 1024 * 1024 : 64 * 1024 * 1024,
    shape: {
      ringBytes: dice.pick([4_096, 65_536, 1_048_576]),
      sizes: {
        fileBytesMin,
        fileBytesMax: fileBytesMin * 4,
        zeroAheadBytes: dice.pick([0, 1_024, 4_096]),
      },
    },
    lives: dice.int(2, 6),
    scrubInterval: dice.fork('scrubber').chance(0.15) ? 20_000 : 0,
    isDamaged,
    deletesLogs: dice.fork('deleting').chance(0.4),
    // What rots is to be there when it is looked for.
    retainsLogs: !isDamaged && dice.fork('retention').chance(0.25),
    detachesLogs: archive !== null && !isDamaged && dice.fork('detaching').chance(0.25),
    pausesMoves: dice.fork('pausing').chance(0.25),
    asksOfSnapshots: archive !== null && !isDamaged && dice.fork('moments').chance(0.25),
    // Drawn last: the others stay as they were.
    maxDiskBytes: archive !== null && dice.chance(0.2) ? dice.pick([8, 16, 48]) * 1024 : null,
  }
}

/** Steps that a life seldom comes to: they are chosen more often, and the first calls of one. */
const RARE_STEPS: readonly Step[] = [
  'evict',
  'manifest base',
  'snapshot',
  'wal roll',
  'wal release',
  'closing',
]

export function isRare(step: Step | null): boolean {
  return step !== null && RARE_STEPS.includes(step)
}

/** Steps that most lives do not come to, or whose few calls most deaths miss, as often as they need it. */
const SCARCE_STEPS: readonly Step[] = ['compact', 'compact', 'checkpoint', 'create log']
const SCARCE_ARCHIVE_STEPS: readonly Step[] = [
  ...(['collect', 'collect', 'collect', 'compact', 'checkpoint', 'create log'] as const),
  ...(['upload', 'cold read'] as const),
]

export function chooseCrash(dice: Dice, setting: Setting, life: number): CrashPlan | null {
  const plan = chooseCommonCrash(dice, setting)
  const deletion = dice.fork(`deletion ${life}`)
  if (setting.deletesLogs && deletion.chance(0.3)) {
    const death = deletion.pick(['kill', 'power'] as const)
    return { death, call: deletion.magnitude(12), step: 'delete log' }
  }
  const scarce = dice.fork(`scarce ${life}`)
  if (!scarce.chance(0.25)) return plan
  const death = scarce.pick(['kill', 'power'] as const)
  const step = scarce.pick(setting.archive === null ? SCARCE_STEPS : SCARCE_ARCHIVE_STEPS)
  return { death, call: scarce.int(1, 4), step }
}

function chooseCommonCrash(dice: Dice, { archive }: Setting): CrashPlan | null {
  if (dice.chance(0.15)) return null
  const death = dice.pick(['kill', 'power'] as const)
  if (dice.chance(0.3)) return { death, call: dice.magnitude(1_500), step: null }
  const steps = archive === null ? DISK_STEPS : LIFE_STEPS
  const step = dice.pick(dice.chance(0.5) ? steps.filter(isRare) : steps)
  return { death, call: isRare(step) ? dice.int(1, 4) : dice.magnitude(8), step }
}
