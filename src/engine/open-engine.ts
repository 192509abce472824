/** The composition root: from configuration and ports to a running engine. What it does not need is not loaded. */
import type { StratalogOptions } from './config.ts'
import type { Engine } from './engine.ts'
import { openMemoryEngine } from './memory-engine.ts'
import type { Access } from './open-directory.ts'
import { type EnginePorts, resolvePorts } from './ports.ts'

/**
 * @throws StratalogError `config_invalid`, `directory_foreign`, `directory_in_use`, `format_unsupported`, `corrupt`
 * kinds.
 */
export async function openEngine(
  given: StratalogOptions,
  givenPorts: Partial<EnginePorts>,
  access: Access,
): Promise<Engine> {
  const options = await checked(given)
  const ports = resolvePorts(options, givenPorts)
  const { dataDir } = options
  if (dataDir === undefined) {
    if (options.snapshotLocation === undefined || access === 'read')
      return openMemoryEngine(options, ports, access === 'read')
    const { openSnapshottedEngine } = await import('./snapshotted-engine.ts')
    const { snapshotUrl } = await import('./snapshot-url.ts')
    return openSnapshottedEngine(snapshotUrl(options) ?? '', options, ports)
  }
  const { openDirectoryEngine } = await import('./directory-engine.ts')
  return openDirectoryEngine(options, dataDir, ports, access)
}

/** Nothing given is nothing to check, so the validator is not loaded for it. */
async function checked(given: unknown): Promise<StratalogOptions> {
  const isEmpty =
    typeof given === 'object' &&
    given !== null &&
    !Array.isArray(given) &&
    Object.keys(given).length === 0
  if (isEmpty) return {}
  const { checkOptions } = await import('./check-options.ts')
  return checkOptions(given)
}
