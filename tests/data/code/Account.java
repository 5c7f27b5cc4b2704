package bank.core;

import java.util.List;
import static java.util.Objects.*;

/** Holds money for one customer. Not safe to use from threads. */
@Entity
public class Account extends Base<Long> implements Comparable<Account> {
    public static final int LIMIT = 500;
    private final List<Entry> entries;

    public Account(List<Entry> entries) {
        this.entries = entries;
    }

    // Takes money out.
    @Override
    public void withdraw(int amount) throws Overdrawn {
        if (amount > LIMIT) throw new Overdrawn(amount);
        entries.add(new Entry(-amount));
    }

    enum Kind { PRIVATE, SHARED }

    interface Listener { void changed(Account account); }
}
