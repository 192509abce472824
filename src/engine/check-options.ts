import { ARCHIVE_KEYS, DISK_KEYS } from './below-memory-keys.ts'
import { type ConfigProblem, configError } from './config-error.ts'
import { type StratalogOptions, optionProblems, withoutProblems } from './config.ts'
import { snapshotUrl } from './snapshot-url.ts'
import { policyProblems, surroundingsOf } from './storage-policy.ts'

/**
 * Combinations that no single key shows are judged too when keys are wrong, over the keys that are right.
 * @throws StratalogError `config_invalid` with every problem.
 */
export function checkOptions(given: unknown): StratalogOptions {
  const problems = optionProblems(given)
  const sound = withoutProblems(given, problems)
  // A key that is there but wrong is not a key that is missing.
  const isWrong = (key: string): boolean => problems.some(({ path }) => path === key)
  const all = [...problems, ...combinationProblems(sound, isWrong)]
  if (all.length > 0) throw configError(all)
  return given as StratalogOptions
}

function combinationProblems(
  options: StratalogOptions,
  isWrong: (key: string) => boolean,
): readonly ConfigProblem[] {
  const problems: ConfigProblem[] = []
  const hasDataDir = options.dataDir !== undefined || isWrong('dataDir')
  const hasArchive = options.archive !== undefined || isWrong('archive')
  if (hasArchive && !hasDataDir) {
    problems.push({
      path: 'dataDir',
      given: undefined,
      allowed: 'a directory, because there is an archive',
    })
  }
  const isOnS3 = (['archive', 'snapshotLocation'] as const).some(
    (key) => options[key]?.toLowerCase().startsWith('s3:') === true || isWrong(key),
  )
  if (options.s3 !== undefined && !isOnS3) {
    problems.push({ path: 's3', given: options.s3, allowed: 'nothing without an archive on s3://' })
  }
  const useless = (keys: readonly (keyof StratalogOptions)[], allowed: string): void => {
    for (const path of keys)
      if (options[path] !== undefined) problems.push({ path, given: options[path], allowed })
  }
  problems.push(...snapshotProblems(options, hasArchive, isWrong))
  if (!hasDataDir) useless(DISK_KEYS, 'nothing without a dataDir')
  if (!hasArchive) useless(ARCHIVE_KEYS, 'nothing without an archive')
  const around = {
    ...surroundingsOf(options, snapshotUrl(options) !== null),
    hasDataDir,
    hasArchive,
  }
  // What goes with a mode that nobody can tell is not known.
  if (isWrong('defaults.mode')) return problems
  return [...problems, ...policyProblems(options.defaults ?? {}, around, 'defaults')]
}

function snapshotProblems(
  options: StratalogOptions,
  hasArchive: boolean,
  isWrong: (key: string) => boolean,
): readonly ConfigProblem[] {
  const { snapshotLocation, restoreOnOpen } = options
  const hasLocation = snapshotLocation !== undefined || isWrong('snapshotLocation')
  const problems: ConfigProblem[] =
    restoreOnOpen === undefined || hasLocation
      ? []
      : [
          {
            path: 'restoreOnOpen',
            given: restoreOnOpen,
            allowed: 'nothing without snapshotLocation',
          },
        ]
  const keys = ['snapshotInterval', 'snapshotOnClose', 'snapshotKeep', 'snapshotMaxAge'] as const
  const given = keys.filter((key) => options[key] !== undefined)
  if (!hasArchive && !hasLocation) {
    const allowed = 'nothing without an archive or a snapshotLocation, where snapshots lie'
    return [...problems, ...given.map((path) => ({ path, given: options[path], allowed }))]
  }
  const isMaking =
    options.snapshotInterval !== undefined ||
    options.snapshotOnClose === true ||
    isWrong('snapshotInterval') ||
    isWrong('snapshotOnClose')
  if (isMaking) return problems
  const allowed = 'nothing without snapshotInterval or snapshotOnClose'
  const idle = given.filter((path) => path !== 'snapshotOnClose')
  return [...problems, ...idle.map((path) => ({ path, given: options[path], allowed }))]
}
