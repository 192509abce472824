import type { Clock } from '../base/clock.ts'
import { systemClock } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import { type Metrics, noMetrics } from '../base/metrics.ts'
import { type Random, systemRandom } from '../base/random.ts'
import type { StratalogOptions } from './config.ts'
import type { RecoveryProgress } from './recovery-progress.ts'
import { environmentVariables } from './environment.ts'
import { createLogger } from './pino-logger.ts'
import type { StoragePorts } from './storage-ports.ts'

/** What an engine takes from outside besides its configuration; every one has a real default. */
export interface EnginePorts {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly metrics: Metrics
  /** Files, WAL, lock and object stores; null for the machine's own, which are loaded when they are needed. */
  readonly storage: StoragePorts | null
  /** Is told how far a recovery is, some times a second while it goes on. It does not throw. */
  readonly onRecovery: (progress: RecoveryProgress) => void
}

export function resolvePorts(options: StratalogOptions, ports: Partial<EnginePorts>): EnginePorts {
  const levels = environmentVariables()['STRATALOG_LOG'] ?? options.logLevel ?? 'warn'
  return {
    clock: ports.clock ?? systemClock,
    random: ports.random ?? systemRandom,
    logger: ports.logger ?? createLogger(levels),
    metrics: ports.metrics ?? noMetrics,
    storage: ports.storage ?? null,
    onRecovery: ports.onRecovery ?? (() => {}),
  }
}
