/**
 * A policy that is changed while its log is in use. Nothing is appended meanwhile, so the change has an instant:
 *
 * 1. appends to the log wait; what the new policy cannot promise is refused;
 * 2. one manifest commit has the policy, schemas that only RAM knew, and where each partition ends when the log was
 *    without a WAL: recovery then expects no frame of what came before;
 *    (a crash before or after the commit keeps of what was appended before it what the old policy promised)
 * 3. the log goes on under the new policy;
 * 4. what RAM holds is owed to the lower tier that the old or the new policy has: the scheduler brings it there in the
 *    background, and until then it is neither evicted nor do its WAL frames go.
 */
import { StratalogError } from '../base/errors.ts'
import type { StoragePolicy } from '../format/manifest.ts'
import { expiringRows } from '../log/batch-runs.ts'
import type { LiveLog } from '../log/live-log.ts'
import { alteredPolicy } from './altered-policy.ts'
import { configError } from './config-error.ts'
import { type StorageChanges, validateChanges } from './config.ts'
import type { Engine } from './engine.ts'
import { keepProblem } from './policies.ts'

export interface AlterLogOptions {
  /** The keys that change; null brings one back to its default. */
  readonly storage: StorageChanges
}

/**
 * @throws StratalogError `config_invalid` with every key that is wrong or cannot be combined, `argument_invalid` while
 * records have a time to live that the new mode does not keep; and what committing the manifest throws, after which it
 * is unknown whether the next engine opens the log under the old policy or the new one.
 */
export async function alterLog(
  { surroundings, lowerTiers }: Engine,
  log: LiveLog,
  options: AlterLogOptions,
): Promise<void> {
  const changes = validateChanges(options)
  // Refused before appends wait for it; and once more, as another change may come first.
  assertKeyed(log, alteredPolicy(log.policy, changes, surroundings))
  if (log.refusal !== null) throw log.refusal
  await log.alter(async () => {
    const before = log.policy
    const policy = Object.freeze(alteredPolicy(before, changes, surroundings))
    assertKeyed(log, policy)
    if (before.mode === 'memory' && policy.mode !== 'memory') assertNothingExpires(log, policy)
    const isElsewhere = before.mode !== policy.mode || before.wal !== policy.wal
    const isDenseFromHere = isElsewhere && !before.wal
    await lowerTiers?.commitPolicy({ log, policy, isDenseFromHere })
    const isOwed = isElsewhere || (policy.ack === 'object' && before.ack !== 'object')
    return { policy, isDenseFromHere, isOwed: isOwed && lowerTiers !== null }
  })
}

function assertKeyed({ definition }: LiveLog, { keep }: StoragePolicy): void {
  if (keep === 'latest' && definition.keyColumn === null) throw configError([keepProblem(keep)])
}

function assertNothingExpires(log: LiveLog, { mode }: StoragePolicy): void {
  let records = 0
  for (const { batches, expiryTime } of log.partitions)
    for (const batch of batches) records += expiringRows(batch, expiryTime)
  if (records === 0) return
  throw new StratalogError(
    'argument_invalid',
    `Log '${log.name}' holds ${records} records with a time to live, which mode '${mode}' would not keep to. Change its ttl to null, append without one, and change the mode when their time is over.`,
    { details: { log: log.name, records, mode } },
  )
}
