<?php
namespace App\Mail;

use App\Models\User;
use Psr\Log\{LoggerInterface, NullLogger as Quiet};

/**
 * Sends mail.
 */
final class Mailer extends Base implements Sender
{
    use Loggable;

    const RETRIES = 3;
    private $queue;

    public function send(User $user): bool
    {
        $this->queue->push($user);
        return Transport::deliver(new Letter($user));
    }
}

function helper($x) { return strtoupper($x); }
